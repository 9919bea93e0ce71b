"""What one attempt logs, until it is written.

An attempt may log any amount. 1 MiB of it is kept: the beginning, and the newest lines. What lies between them is left
out, in memory while the lines are not written yet, and in the table as newer ones are written. The lines are counted, so that a
gap in the numbers says how many are missing.

Lines are put together in chunks, which become rows. A chunk never changes, so it can be sent twice: its key, which has the
number of its first line, tells that it is there already.
"""

from __future__ import annotations

import threading
import time
from bisect import insort
from collections import deque
from collections.abc import Callable, Collection
from typing import NamedTuple

from steve._model.capture import Capture
from steve._model.log_text import Chunk, Cut, chunk, encoded, printed
from steve.run import uninterrupted

LOG_BYTES = 1 << 20
"""How much is kept in the table, at most."""
HEAD_BYTES = 256 << 10
"""How much of the beginning is kept, and the rest of its last chunk. What later lines may take is what is left."""
CHUNK_BYTES = 64 << 10
"""How large a chunk is, at most, but for the last line in it."""
PIECE_MOST = 32_000
"""A printed line that does not end is kept in pieces of so many characters."""
PRINTERS_MOST = 100
"""Of how many threads an unfinished line is kept."""
INBOX_MOST, SHORT = 16, 500
"""So many lines of so many characters at most are put together into a chunk at once, because each lock that is taken for one
line alone costs as much as to encode it."""


class _Stored(NamedTuple):
    """A row of the tail that is in the table."""

    first: int
    size: int


class AttemptLog:
    """Implements `Sink` of `_runtime/capture.py`."""

    def __init__(self, *, capture: Capture, share: Callable[[], int]) -> None:
        """`share()`: how many bytes of unwritten lines this attempt may keep at present."""
        self.level = capture.level
        self.prints = capture.prints
        self._share = share
        self._inbox: deque[str] = deque()  # lines, in order; its operations are atomic
        # Protects everything below, and nothing is called under it except share(). It is reentrant because a destructor may run
        # at any moment, and log a line.
        self._changing = threading.RLock()
        self._open: list[str] = []  # the lines of the chunk that is not complete
        self._open_size = 0
        self._open_first = 0
        self._head: list[Chunk] = []  # complete and unwritten
        self._head_size = 0  # with what is written
        self._head_end: int | None = None  # the number of the first line that is not of the beginning; None: all are
        self._tail: deque[Chunk] = deque()  # complete and unwritten
        self._tail_size = 0
        self._stored: list[_Stored] = []  # of the tail, in the table, in order
        self._stored_size = 0
        self._keep_from = 0  # rows of the tail below this line do not belong into the table any more
        self._cut_to = 0  # and below this line they are deleted
        self._unfinished: dict[int, str] = {}  # by thread: what was printed since the last line break
        self._is_over = False

    # -- from any thread of the run -------------------------------------------------------------------------------------

    def add(self, at: float, level: str, logger: str, message: str) -> None:
        if self._is_over:
            return
        line = encoded(at, level, logger, message)  # not under the lock: this may take long
        self._inbox.append(line)
        if len(line) > SHORT or len(self._inbox) >= INBOX_MOST:
            with uninterrupted(), self._changing:
                self._empty_inbox()

    def print(self, text: str) -> None:
        if self._is_over or not text:
            return
        thread = threading.get_ident()
        with uninterrupted(), self._changing:
            *lines, rest = printed(self._unfinished.pop(thread, "") + text)
            if len(rest) >= PIECE_MOST or (rest and len(self._unfinished) >= PRINTERS_MOST):
                lines.append(rest)
                rest = ""
            if rest:
                self._unfinished[thread] = rest
        for line in lines:
            self._add_printed(line)

    def _add_printed(self, line: str) -> None:
        self.add(time.time(), "INFO", "stdout", line)

    def end(self) -> None:
        """The run is over: nothing is added any more."""
        with self._changing:
            unfinished, self._unfinished = self._unfinished, {}
        for line in unfinished.values():
            self._add_printed(line)
        self._is_over = True

    # -- on the threads that write --------------------------------------------------------------------------------------

    def is_written(self) -> bool:
        is_cut = self._keep_from <= self._cut_to and self._stored_size <= self._tail_most()
        return is_cut and not (self._inbox or self._open or self._head or self._tail)

    def unwritten(self) -> tuple[list[Chunk], Cut | None]:
        """What is to be written, and which rows are to be deleted. It stays here until `written()` is called: the two threads
        that write may both send it, since a connection may break and nobody waits for the other."""
        with self._changing:
            self._empty_inbox()
            if self._open:
                self._close()
            while self._stored and self._stored_size + self._tail_size > self._tail_most():
                self._stored_size -= self._stored.pop(0).size
                stored = self._stored[0].first if self._stored else self._open_first
                waiting = self._tail[0].first if self._tail else self._open_first
                self._keep_from = max(self._keep_from, min(stored, waiting))
            cut = None if self._keep_from <= self._cut_to else Cut(self._head_end or 0, self._keep_from)
            return [*self._head, *self._tail], cut

    def written(self, chunks: Collection[Chunk], cut: Cut | None) -> None:
        """These are in the table, and these rows are deleted."""
        with self._changing:
            firsts = {one.first for one in chunks}
            self._head = [one for one in self._head if one.first not in firsts]
            self._tail = deque(one for one in self._tail if one.first not in firsts)
            self._tail_size = sum(one.size for one in self._tail)
            if cut is not None:
                self._cut_to = max(self._cut_to, cut.until)
            for one in chunks:
                if self._head_end is None or one.first < self._head_end:
                    continue
                if one.first < self._keep_from:
                    self._cut_to = 0  # the other thread has cut meanwhile, perhaps before this row was there: cut again
                elif (row := _Stored(one.first, one.size)) not in self._stored:
                    # Also if its chunk was left out meanwhile: then the next cut deletes it.
                    insort(self._stored, row)
                    self._stored_size += one.size

    # -- under the lock -------------------------------------------------------------------------------------------------

    def _empty_inbox(self) -> None:
        most = min(CHUNK_BYTES, self._share() >> 2)
        while self._inbox:
            line = self._inbox.popleft()
            self._open.append(line)
            self._open_size += len(line) + 1
            if self._open_size >= most:
                self._close()

    def _tail_most(self) -> int:
        return LOG_BYTES - self._head_size

    def _close(self) -> None:
        """The chunk is complete."""
        lines, self._open, self._open_size = self._open, [], 0
        closed = chunk(self._open_first, lines)
        self._open_first += len(lines)
        share = self._share()
        if self._head_end is None:
            self._head.append(closed)
            self._head_size += closed.size
            # The beginning ends early if many attempts log much at the same time.
            if self._head_size >= HEAD_BYTES or sum(one.size for one in self._head) >= share:
                self._head_end = self._open_first
            return
        self._tail.append(closed)
        self._tail_size += closed.size
        while len(self._tail) > 1 and self._tail_size > min(self._tail_most(), share):
            self._tail_size -= self._tail.popleft().size
