"""The demo's first step: which text files there are, and what it says when there are none."""

import os
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from steve import SteveError
from steve.demo.files import find_files, type_of


def test_every_text_file_is_found_in_order(tmp_path: Path) -> None:
    names = ["a/deep/er/x.py", "b.txt", "a/z", "[brackets].md"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = find_files(tmp_path)
    assert [str(path.relative_to(tmp_path)) for path in found.files] == [
        "[brackets].md",
        "b.txt",
        "a/z",
        "a/deep/er/x.py",
    ]
    assert not found.left_out


def test_the_default_is_the_standard_library_without_what_was_installed() -> None:
    found = find_files(None)
    assert found.folder == Path(sysconfig.get_path("stdlib"))
    assert Path(os.__file__) in found.files
    assert not [path for path in found.files if "site-packages" in path.parts]


def test_site_packages_are_files_like_others_where_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "site-packages").mkdir()
    (tmp_path / "site-packages" / "x.py").touch()
    assert len(find_files(tmp_path).files) == 1


@pytest.mark.parametrize("folder", ["__pycache__", ".git", ".venv", "node_modules", "a/__pycache__", "a/.hidden/b"])
def test_hidden_folders_and_those_of_programs_are_left_out(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir(parents=True)
    (tmp_path / folder / "x.py").touch()
    (tmp_path / "a.py").touch()
    found = find_files(tmp_path)
    assert [path.name for path in found.files] == ["a.py"]
    assert not found.left_out


@pytest.mark.parametrize("hidden", [".hidden", "__pycache__"])
def test_a_folder_that_is_named_is_searched_whatever_its_name(tmp_path: Path, hidden: str) -> None:
    (tmp_path / hidden).mkdir()
    (tmp_path / hidden / "x.py").touch()
    assert len(find_files(tmp_path / hidden).files) == 1


@pytest.mark.parametrize(
    ("name", "content", "is_text"),
    [
        ("a.png", b"no NUL", False),
        ("x.tar.GZ", b"", False),
        ("a.pyc", b"", False),
        ("program", b"\x7fELF\0", False),
        ("a.txt", b"\0", False),
        ("late-nul.txt", b"x" * 8192 + b"\0", True),  # only the head is looked at
        ("Makefile", b"all:\n", True),
        ("latin.txt", b"caf\xe9", True),  # text, though not UTF-8: its job will fail
        ("empty", b"", True),
        (".hidden", b"", True),
    ],
)
def test_text_is_told_by_the_ending_and_the_content(tmp_path: Path, name: str, content: bytes, is_text: bool) -> None:
    (tmp_path / name).write_bytes(content)
    (tmp_path / "other").touch()
    found = find_files(tmp_path)
    assert (tmp_path / name in found.files) == is_text
    assert found.left_out == ({} if is_text else {"binary files": 1})


def test_links_pipes_and_names_that_are_no_text_are_left_out_and_counted(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    (tmp_path / "link").symlink_to(tmp_path / "a")
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe")
    expected = {"symbolic links, sockets, devices and the like": 3}
    if sys.platform == "linux":  # elsewhere the file system refuses such a name
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff")).touch()
        expected["names that are not UTF-8, which JSON cannot hold"] = 1
    found = find_files(tmp_path)
    assert [path.name for path in found.files] == ["a"]
    assert found.left_out == expected


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere", "there is no folder"),
        ("file", "is a file"),
        ("empty", "there is no text file under"),
        ("binary", "there is no text file under"),
    ],
)
def test_a_folder_without_text_files_is_refused_with_its_name(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "binary").mkdir()
    (tmp_path / "binary" / "program").write_bytes(b"\0")
    (tmp_path / "empty" / "also empty").mkdir(parents=True)
    with pytest.raises(SteveError, match=message) as raised:
        find_files(tmp_path / name)
    assert str(tmp_path / name) in str(raised.value)


@pytest.fixture
def locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that may not be read, also for root, who may read everything."""
    folder = tmp_path / "locked"
    folder.mkdir()
    scandir: Callable[[Any], Any] = os.scandir

    def refusing(path: Any) -> Any:
        if Path(path) == folder:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    return folder


def test_a_folder_that_may_not_be_read_is_refused(locked: Path) -> None:
    with pytest.raises(SteveError, match=r"cannot read the folder .*locked: Permission denied"):
        find_files(locked)


def test_a_folder_below_that_may_not_be_read_is_left_out_and_counted(locked: Path) -> None:
    (locked.parent / "a").touch()
    found = find_files(locked.parent)
    assert [path.name for path in found.files] == ["a"]
    assert found.left_out == {"folders that may not be read": 1}


def test_a_file_that_may_not_be_read_is_left_out_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(path: Path, *arguments: Any) -> Any:
        if path.name == "locked":
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *arguments)

    (tmp_path / "a").touch()
    (tmp_path / "locked").touch()
    opened: Callable[..., Any] = Path.open
    monkeypatch.setattr(Path, "open", refusing)  # also for root, who may read everything
    found = find_files(tmp_path)
    assert [path.name for path in found.files] == ["a"]
    assert found.left_out == {"files that may not be read": 1}


def test_a_file_is_named_from_the_folder_on(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    found = find_files(tmp_path)
    assert found.label(str(tmp_path / "b" / "c.txt")) == "b/c.txt"
    assert found.label("/elsewhere/c.txt") == "c.txt (made by the demo)"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.py", "python"),
        ("a.PYI", "python"),
        ("a.pyw", "python"),
        ("a.txt", "text"),
        ("Makefile", "text"),
    ],
)
def test_the_type_goes_by_the_ending(name: str, expected: str) -> None:
    assert type_of(Path(name)) == expected
