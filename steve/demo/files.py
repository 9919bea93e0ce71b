"""Finds the text files that the demo works on, and says which type of job a file gets. `run` creates the jobs."""

import os
import sysconfig
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from steve import SteveError

_PYTHON = frozenset({".py", ".pyi", ".pyw"})
_BINARY = frozenset(
    {".pyc", ".so", ".pyd", ".dll", ".dylib", ".exe", ".a", ".o", ".zip", ".whl", ".gz", ".bz2", ".xz", ".zst", ".tar"}
    | {".gif", ".ico", ".jpg", ".jpeg", ".png", ".webp", ".pdf", ".au", ".mp3", ".wav", ".mp4", ".pickle", ".pck"}
)
_FOLDERS_LEFT_OUT = frozenset({"__pycache__", "node_modules"})
_INSTALLED = frozenset({"site-packages", "dist-packages"})

_HEAD = 8192
"""How many bytes at the head of a file are checked. If one of them is NUL, the file counts as binary, as in git."""


@dataclass(frozen=True)
class Found:
    """The files that were found under a folder."""

    folder: Path
    files: list[Path] = field(default_factory=list)
    """Regular files that are text, in order; symbolic links are not followed."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Reasons why files and folders got no job -> how many of them."""

    def label(self, path: str) -> str:
        """The name of a file on the screen: its path relative to the folder."""
        if Path(path).is_relative_to(self.folder):
            return str(Path(path).relative_to(self.folder))
        return f"{Path(path).name} (made by the demo)"


def find_files(folder: Path | None) -> Found:
    """Finds every text file under `folder`. None: Python's standard library, without the packages installed into it.

    It leaves out hidden folders such as .git, __pycache__ and node_modules, and does not count them. Raises SteveError if the
    folder cannot be read or holds no text file.
    """
    found = Found((folder or Path(sysconfig.get_path("stdlib"))).expanduser().absolute())
    without = _FOLDERS_LEFT_OUT if folder else _FOLDERS_LEFT_OUT | _INSTALLED
    _list(found.folder)

    def unreadable(_: OSError) -> None:
        found.left_out["folders that may not be read"] += 1

    for parent, folders, names in os.walk(found.folder, onerror=unreadable):
        folders[:] = sorted(name for name in folders if name not in without and not name.startswith("."))
        for name in sorted(names):
            path = Path(parent, name)
            reason = _why_not(path)
            if reason is None:
                found.files.append(path)
            else:
                found.left_out[reason] += 1
    if not found.files:
        raise SteveError(f"there is no text file under {found.folder}")
    return found


def type_of(path: Path) -> str:
    """The type of the job for this file, by its suffix: python or text."""
    return "python" if path.suffix.lower() in _PYTHON else "text"


def _why_not(path: Path) -> str | None:
    """The reason to leave a file out; None: there is none."""
    if path.is_symlink() or not path.is_file():
        return "symbolic links, sockets, devices and the like"
    if not _is_unicode(str(path)):
        return "names that are not UTF-8, which JSON cannot hold"
    if path.suffix.lower() in _BINARY:
        return "binary files"
    try:
        with path.open("rb") as file:
            return "binary files" if b"\0" in file.read(_HEAD) else None
    except OSError:
        return "files that may not be read"


def _list(folder: Path) -> None:
    # os.walk() skips a folder that it cannot open. The user named this one, so the demo says what is wrong with it.
    try:
        os.scandir(folder).close()
    except FileNotFoundError:
        raise SteveError(f"there is no folder {folder}") from None
    except NotADirectoryError:
        raise SteveError(f"{folder} is a file: name the folder that it is in") from None
    except OSError as error:
        raise SteveError(f"cannot read the folder {folder}: {error.strerror}") from None


def _is_unicode(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
