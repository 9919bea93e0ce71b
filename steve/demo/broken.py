"""Three files that cannot be decoded, for folders in which every file is sound.

CPython's own tests contain such files, but many distributions ship Python without its tests.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_CONTENTS = {
    "unknown-encoding.py": b"# coding: klingon\nprint('nuqneH')\n",
    "not-utf-8.txt": "Un café, s'il vous plaît\n".encode("latin-1"),
    "cut-short.txt": "Der Rest fehlt: ü".encode()[:-1],
}


@contextmanager
def broken_files() -> Iterator[list[Path]]:
    """The files, in a temporary folder that is removed when the block ends."""
    with tempfile.TemporaryDirectory(prefix="steve-demo-") as folder:
        paths = [Path(folder, name) for name in _CONTENTS]
        for path in paths:
            path.write_bytes(_CONTENTS[path.name])
        yield paths
