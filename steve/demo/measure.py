"""The demo's handlers: hash, measure and count one file. What they return is kept as `job.result`.

A file that is no text raises UnicodeDecodeError, half way through and unguarded, as a handler may: steve tries it again
and in the end calls the job failed.
"""

import codecs
import hashlib
import time
import tokenize
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from steve import Job, Snooze, current_run

_CHUNK = 1 << 18


def measure_python(job: Job) -> dict[str, Any]:
    """Source code says itself in which encoding it is; one that says nonsense raises SyntaxError."""
    path = Path(job.payload["path"])
    with path.open("rb") as file:
        encoding, _ = tokenize.detect_encoding(file.readline)
    return _measure(path, encoding)


def measure_text(job: Job) -> dict[str, Any]:
    """Everything else ought to be UTF-8."""
    return _measure(Path(job.payload["path"]), "utf-8")


HANDLERS: Mapping[str, Callable[[Job], Any]] = {
    "python": measure_python,
    "text": measure_text,
    "binary": measure_text,  # which cannot end well, and shows how a job fails
}


def _measure(path: Path, encoding: str) -> dict[str, Any]:
    begun = time.perf_counter()
    run = current_run()
    digest = hashlib.sha256()
    decoder = codecs.getincrementaldecoder(encoding)()
    size = 0
    text = Text()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            if run.stopping:
                raise Snooze(0)  # a file may be long: not now, and this attempt does not count
            digest.update(chunk)
            size += len(chunk)
            text.add(decoder.decode(chunk))
    text.add(decoder.decode(b"", final=True))  # raises if the file ends within a character
    return {
        "sha256": digest.hexdigest(),
        "bytes": size,
        "lines": text.lines,
        "words": text.words,
        "encoding": "ascii" if text.ascii else encoding,
        "milliseconds": round((time.perf_counter() - begun) * 1000, 3),
    }


class Text:
    """Counts the lines and words of a text that comes in pieces."""

    def __init__(self) -> None:
        self.ascii = True
        self.words = 0
        self._newlines = 0
        self._last = "\n"

    @property
    def lines(self) -> int:
        """A last line without an end counts too."""
        return self._newlines + (self._last != "\n")

    def add(self, piece: str) -> None:
        """The next piece."""
        if not piece:
            return
        cut_in_two = not self._last.isspace() and not piece[0].isspace()
        self.words += len(piece.split()) - cut_in_two
        self._newlines += piece.count("\n")
        self.ascii = self.ascii and piece.isascii()
        self._last = piece[-1]
