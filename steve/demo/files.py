"""Which files the demo works on, and which type of job is for which. Feeds `run`, which creates the jobs."""

import os
import sysconfig
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from steve import SteveError

_PYTHON = frozenset({".py", ".pyi", ".pyw"})
_BINARY = frozenset(
    {".pyc", ".so", ".pyd", ".dll", ".dylib", ".exe", ".a", ".o", ".zip", ".whl", ".gz", ".bz2", ".xz"}
    | {".gif", ".ico", ".jpg", ".jpeg", ".png", ".webp", ".pdf", ".au", ".mp3", ".wav", ".mp4"}
)


@dataclass(frozen=True)
class Found:
    """What lies under a folder."""

    folder: Path
    files: list[Path] = field(default_factory=list)
    """Regular files, in order; symbolic links are not followed."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Why -> how many."""


def find_files(folder: Path | None) -> Found:
    """Every file under `folder`; None: Python's standard library, without what was installed into it."""
    without = set() if folder else {"site-packages", "dist-packages"}
    found = Found((folder or Path(sysconfig.get_path("stdlib"))).expanduser().absolute())
    _list(found.folder)

    def unreadable(_: OSError) -> None:
        found.left_out["folders that may not be read"] += 1

    for parent, folders, names in os.walk(found.folder, onerror=unreadable):
        folders[:] = sorted(set(folders) - without)
        for name in sorted(names):
            path = Path(parent, name)
            if path.is_symlink() or not path.is_file():
                found.left_out["symbolic links, sockets, devices and the like"] += 1
            elif not _is_text(str(path)):
                found.left_out["names that are not UTF-8, which JSON cannot hold"] += 1
            else:
                found.files.append(path)
    if not found.files:
        raise SteveError(f"there is no file under {found.folder}")
    return found


def type_of(path: Path) -> str:
    """The type of the job for this file, by the name's ending: python, binary, or text."""
    ending = path.suffix.lower()
    return "python" if ending in _PYTHON else "binary" if ending in _BINARY else "text"


def _list(folder: Path) -> None:
    # os.walk() is silent about a folder that it cannot open; for the one that was asked for, silence is no answer.
    try:
        os.scandir(folder).close()
    except FileNotFoundError:
        raise SteveError(f"there is no folder {folder}") from None
    except NotADirectoryError:
        raise SteveError(f"{folder} is a file: name the folder that it is in") from None
    except OSError as error:
        raise SteveError(f"cannot read the folder {folder}: {error.strerror}") from None


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
