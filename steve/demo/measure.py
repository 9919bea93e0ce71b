"""The demo's handlers: they hash one file, count its lines and words, and enter it into the catalog. What they return becomes
`job.result`.

A file that cannot be decoded raises UnicodeDecodeError or SyntaxError. The handlers do not catch these: steve tries the job
again, and in the end the job is failed.
"""

import codecs
import hashlib
import tokenize
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from steve import Job, Snooze, current_run
from steve.demo.catalog import Catalog

_CHUNK = 1 << 18


def handlers_with(catalog: Catalog) -> Mapping[str, Callable[[Job], dict[str, Any]]]:
    """The handler for each type of job. All handlers use the same catalog."""

    def measure_python(job: Job) -> dict[str, Any]:
        """Source code declares its encoding. An unknown encoding raises SyntaxError."""
        path = Path(job.payload["path"])
        with path.open("rb") as file:
            # The lambda hides the file's name from tokenize, whose error would repeat it. The job names the file already.
            encoding, _ = tokenize.detect_encoding(lambda: file.readline())
        return enter(path, _measure(path, encoding))

    def measure_text(job: Job) -> dict[str, Any]:
        """Every other file should be in UTF-8."""
        path = Path(job.payload["path"])
        return enter(path, _measure(path, "utf-8"))

    def enter(path: Path, result: dict[str, Any]) -> dict[str, Any]:
        catalog.enter(str(path), result["sha256"])
        return result

    return {"python": measure_python, "text": measure_text}


def _measure(path: Path, encoding: str) -> dict[str, Any]:
    run = current_run()
    digest = hashlib.sha256()
    decoder = codecs.getincrementaldecoder(encoding)()
    size = 0
    text = Text()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            if run.stopping:
                raise Snooze(0)  # a long file must not delay the stop: the job goes back, and this attempt does not count
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
    }


class Text:
    """Counts the lines and words of a text that arrives in pieces."""

    def __init__(self) -> None:
        self.ascii = True
        self.words = 0
        self._newlines = 0
        self._last = "\n"

    @property
    def lines(self) -> int:
        """The number of lines. A last line without a newline counts too."""
        return self._newlines + (self._last != "\n")

    def add(self, piece: str) -> None:
        """Counts the next piece."""
        if not piece:
            return
        cut_in_two = not self._last.isspace() and not piece[0].isspace()
        self.words += len(piece.split()) - cut_in_two
        self._newlines += piece.count("\n")
        self.ascii = self.ascii and piece.isascii()
        self._last = piece[-1]
