"""What is kept of what an attempt logs: the beginning, the newest lines, and how many are missing in between."""

import itertools
import json
import threading
from collections.abc import Iterator

from steve._engine.records.attempt_log import CHUNK_BYTES, HEAD_BYTES, LOG_BYTES, AttemptLog
from steve._model.capture import Capture
from steve._model.log_text import Chunk

MESSAGE = "x" * 1_000


class Table:
    """The rows of one attempt, as the statements leave them."""

    def __init__(self, log: AttemptLog) -> None:
        self.log = log
        self.rows: dict[int, Chunk] = {}

    def write(self, *, acknowledged: bool = True) -> None:
        chunks, cut = self.log.unwritten()
        for chunk in chunks:
            self.rows.setdefault(chunk.first, chunk)
        if cut is not None:
            for first in [first for first in self.rows if cut.first <= first < cut.until]:
                del self.rows[first]
        if acknowledged:
            self.log.written(chunks, cut)

    def numbers(self) -> list[int]:
        """The messages, which begin with a number."""
        return [int(line[3].split()[0]) for _, row in sorted(self.rows.items()) for line in json.loads(row.text)]

    def size(self) -> int:
        return sum(row.size for row in self.rows.values())


def log(share: int = 8 << 20) -> AttemptLog:
    return AttemptLog(capture=Capture(20, True), share=lambda: share)


def fill(log: AttemptLog, numbers: Iterator[int] | range) -> None:
    for number in numbers:
        log.add(0.0, "INFO", "a", f"{number} {MESSAGE}")


def test_few_lines_are_all_kept() -> None:
    one = log()
    table = Table(one)
    fill(one, range(3))
    table.write()
    assert one.is_written()
    fill(one, range(3, 5))
    assert not one.is_written()
    table.write()
    assert table.numbers() == [0, 1, 2, 3, 4]
    assert [(row.first, row.last) for row in table.rows.values()] == [(0, 2), (3, 4)]


def test_of_very_many_the_beginning_and_the_newest_are_kept_whenever_they_are_written() -> None:
    for pause in (10, 300, 5_000):  # lines between two writes
        one = log()
        table = Table(one)
        for first in range(0, 5_000, pause):
            fill(one, range(first, min(first + pause, 5_000)))
            table.write()
        table.write()  # the cut of the last write
        numbers = table.numbers()
        gaps = [(a, b) for a, b in itertools.pairwise(numbers) if b != a + 1]
        assert (numbers[0], numbers[-1]) == (0, 4_999), pause
        assert len(gaps) == 1, (pause, gaps)
        assert gaps[0][0] * len(MESSAGE) >= HEAD_BYTES - 2 * CHUNK_BYTES, pause
        assert (5_000 - gaps[0][1]) * len(MESSAGE) >= LOG_BYTES - HEAD_BYTES - 3 * CHUNK_BYTES - 100_000, pause
        assert table.size() <= LOG_BYTES, pause


def test_lines_of_any_length_take_no_more_than_they_may() -> None:
    for message in ("x" * 31_000, "\x01" * 31_000, "x" * 50_000, "\u20ac" * 40_000, "x"):
        one = log()
        table = Table(one)
        for first in range(0, 3_000, 100):
            for number in range(first, first + 100):
                one.add(0.0, "INFO", "a", f"{number} {message}")
            table.write()
            assert table.size() <= LOG_BYTES, message[:1]
        assert table.numbers()[-1] == 2_999


def test_what_was_sent_and_not_acknowledged_is_sent_again_as_it_was() -> None:
    one = log()
    table = Table(one)
    for first in range(0, 3_000, 100):
        fill(one, range(first, first + 100))
        table.write(acknowledged=first % 300 == 0)
    table.write()
    table.write()
    numbers = table.numbers()
    assert numbers == sorted(set(numbers))
    assert (numbers[0], numbers[-1]) == (0, 2_999)
    assert table.size() <= LOG_BYTES
    assert one.is_written()


def test_two_threads_may_write_the_same_lines() -> None:
    one = log()
    table = Table(one)
    fill(one, range(5))
    first = one.unwritten()
    fill(one, range(5, 7))
    table.write()
    one.written(*first)
    assert one.is_written()
    fill(one, range(7, 9))
    table.write()
    assert table.numbers() == list(range(9))


def test_lines_that_cannot_be_written_take_no_more_memory_than_their_share() -> None:
    for share in (4 << 10, 100 << 10):
        one = log(share)
        fill(one, range(20_000))
        chunks, _ = one.unwritten()
        assert sum(chunk.size for chunk in chunks) <= 3 * share, share
        assert chunks[0].first == 0
        assert chunks[-1].last == 19_999


def test_nothing_is_added_after_the_end() -> None:
    one = log()
    one.print("unfinished")
    one.end()
    one.add(0.0, "INFO", "a", "late")
    one.print("late\n")
    chunks, _ = one.unwritten()
    assert [line[3] for chunk in chunks for line in json.loads(chunk.text)] == ["unfinished"]


def test_what_is_printed_becomes_lines_for_each_thread() -> None:
    one = log()
    one.print("a ")
    other = threading.Thread(target=lambda: one.print("b\nc\n"))
    other.start()
    other.join()
    one.print("d")
    one.print("\n\ne\r\n")
    one.print("f" * 40_000)
    one.end()
    chunks, _ = one.unwritten()
    lines = [line[2:] for chunk in chunks for line in json.loads(chunk.text)]
    assert [name for name, _ in lines] == ["stdout"] * len(lines)
    assert [message[:10] for _, message in lines] == ["b", "c", "a d", "", "e", "f" * 10]


def test_lines_of_many_threads_are_all_there() -> None:
    one = log()
    threads = [threading.Thread(target=fill, args=(one, range(n * 100, n * 100 + 100))) for n in range(8)]
    for thread in threads:
        thread.start()
    table = Table(one)
    while any(thread.is_alive() for thread in threads):
        table.write()
    table.write()
    assert sorted(table.numbers()) == list(range(800))


def test_what_the_other_thread_was_writing_at_the_end_is_cut_afterwards() -> None:
    one = log()
    table = Table(one)
    fill(one, range(1_200))
    table.write()
    fill(one, range(1_200, 1_900))
    scanner = one.unwritten()
    fill(one, range(1_900, 4_000))  # what the scanner is writing is left out meanwhile
    one.end()
    table.write()
    assert one.is_written()
    for chunk in scanner[0]:  # only now it is committed
        table.rows.setdefault(chunk.first, chunk)
    one.written(*scanner)
    assert table.size() > LOG_BYTES
    assert not one.is_written()
    table.write()
    assert one.is_written()
    assert table.size() <= LOG_BYTES
    numbers = table.numbers()
    assert (numbers[0], numbers[-1]) == (0, 3_999)
    assert sum(later != earlier + 1 for earlier, later in itertools.pairwise(numbers)) == 1
