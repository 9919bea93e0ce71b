"""The demo's handlers, the text that comes to them in pieces, and the catalog that they need."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from steve import Job, JobManager, RetryPolicy, Status, current_run
from steve.demo.broken import broken_files
from steve.demo.catalog import Catalog, CatalogClosed
from steve.demo.files import type_of
from steve.demo.measure import Text, handlers_with
from steve.demo.tuning import DEFAULTS
from tests.conftest import until

ASCII = b"one two three\n" * 50_000
"""More than is read at a time."""


def always_open() -> Catalog:
    return Catalog(closes_after=0, seconds=0)


@pytest.fixture
def long_file(tmp_path: Path) -> Path:
    path = tmp_path / "ascii.txt"
    path.write_bytes(ASCII)
    return path


@pytest.mark.parametrize(
    ("text", "lines", "words"),
    [
        ("", 0, 0),
        ("one", 1, 1),
        ("one\n", 1, 1),
        ("one two\nthree", 2, 3),
        ("\n\n  \n", 3, 0),
        ("  a  b  ", 1, 2),
        ("é\u2003ü\r\nx\n", 2, 3),
    ],
)
def test_pieces_count_as_the_whole(text: str, lines: int, words: int) -> None:
    for cut in range(len(text) + 1):
        counted = Text()
        for piece in (text[:cut], text[cut : cut + 1], "", text[cut + 1 :]):
            counted.add(piece)
        assert (counted.lines, counted.words, counted.ascii) == (lines, words, text.isascii())


def test_what_a_handler_returns_is_right(long_file: Path, make_manager: Callable[..., JobManager]) -> None:
    with make_manager(handlers=handlers_with(always_open())) as manager:
        job = manager.create("text", {"path": str(long_file)})
        until(lambda: manager.find(job).completed_at)
        result = manager.find(job).result
    assert result == {
        "sha256": hashlib.sha256(ASCII).hexdigest(),
        "bytes": 700_000,
        "lines": 50_000,
        "words": 150_000,
        "encoding": "ascii",
    }


def test_source_code_is_read_in_the_encoding_that_it_declares(tmp_path: Path, make_manager: Callable[..., JobManager]) -> None:
    path = tmp_path / "latin.py"
    path.write_bytes(b"# coding: latin-1\n# caf\xe9\n")
    with make_manager(handlers=handlers_with(always_open())) as manager:
        job = manager.create("python", {"path": str(path)})
        until(lambda: manager.find(job).completed_at)
        result = manager.find(job).result
    assert (result["encoding"], result["lines"], result["words"]) == ("iso-8859-1", 2, 5)


def test_a_manager_that_stops_does_not_wait_for_a_long_file(long_file: Path, make_manager: Callable[..., JobManager]) -> None:
    measure_text = handlers_with(always_open())["text"]

    def begins_late(job: Job) -> Any:
        begun.set()
        current_run().wait(60)
        return measure_text(job)

    begun = Event()
    manager = make_manager(handlers={"text": begins_late})
    manager.start(1)
    job = manager.create("text", {"path": str(long_file)})
    assert begun.wait(60)
    assert manager.stop(timeout=40).complete
    stored = manager.find(job)
    assert (stored.status, stored.attempts) == (Status.PENDING, 0)


def test_the_catalog_closes_once_and_opens_again() -> None:
    def entered() -> bool:
        try:
            catalog.enter("b", "2")
        except CatalogClosed:
            return False
        return True

    catalog = Catalog(closes_after=1, seconds=0.1)
    catalog.enter("a", "1")
    with pytest.raises(CatalogClosed, match=r"closed for 0\.1 s"):
        catalog.enter("b", "2")
    until(entered)
    for path in ("a", "b", "c"):  # a job that runs twice enters its file once
        catalog.enter(path, "3")
    assert len(catalog) == 3


def test_a_job_that_found_the_catalog_closed_is_tried_again_and_enters_its_file_once(
    long_file: Path, make_manager: Callable[..., JobManager]
) -> None:
    catalog = Catalog(closes_after=0, seconds=0.05)
    with make_manager(handlers=handlers_with(catalog), retry=RetryPolicy(max_delay=0.1)) as manager:
        job = manager.create("text", {"path": str(long_file)})
        until(lambda: manager.find(job).completed_at)
        first, second = manager.history(job)
    assert first.error_message == "CatalogClosed: closed for 0.05 s"
    assert second.status == "success"
    assert len(catalog) == 1


def test_the_catalog_is_open_again_before_the_first_retry() -> None:
    assert DEFAULTS.retry.delay(1, chance=0) > DEFAULTS.closed_seconds


def test_each_of_the_broken_files_fails_and_none_is_left(make_manager: Callable[..., JobManager]) -> None:
    catalog = always_open()
    with (
        broken_files() as paths,
        make_manager(handlers=handlers_with(catalog), retry=RetryPolicy(max_attempts=1)) as manager,
    ):
        jobs = manager.create_many((type_of(path), {"path": str(path)}) for path in paths)
        until(lambda: all(manager.find(job).completed_at for job in jobs))
        errors = {path.name: manager.find(job).error for path, job in zip(paths, jobs, strict=True)}
    assert "klingon" in errors.pop("unknown-encoding.py")
    assert "invalid continuation byte" in errors.pop("not-utf-8.txt")
    assert "unexpected end of data" in errors.pop("cut-short.txt")
    assert errors == {}
    assert len(catalog) == 0
    assert not [path for path in paths if path.parent.exists()]
