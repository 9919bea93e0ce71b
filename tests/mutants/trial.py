"""Runs tests on a copy of this checkout, broken or not, and never on the checkout itself."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from xml.etree import ElementTree

from tests.child import ROOT

from .catalog import Mutant

CONTROL = "behaviour/test_create_and_find.py::test_a_job_that_ran_shows_its_result_its_times_and_its_attempts"
"""This test must pass with every mutant, which works but for one thing. A steve that does nothing would fail every test."""

ASSERTIONS = ("assert ", "AssertionError", "Failed: ")
"""How a failure begins if the test itself saw something wrong. Any other error may be a mistake of the mutant."""

PATIENCE = "15"
"""How many seconds a test waits for what does not come, which is how many mutants are noticed. On the unbroken copy the same
tests pass with the same patience."""

END_SECONDS = 15.0
"""How long a run may take to end when its time is over."""


class Fate(StrEnum):
    KILLED = "killed"
    SURVIVED = "survived"
    INVALID = "invalid"
    """No verdict: something other than the test failed, or it did not end in time."""


@dataclass(frozen=True)
class Trial:
    """What became of a mutant."""

    mutant: Mutant
    fate: Fate
    seconds: float
    said: str
    """How the test failed; or why there is no verdict."""


@dataclass(frozen=True)
class Run:
    """The result of a run of pytest."""

    failed: dict[str, str]
    """The names of tests that failed by an assertion, and how."""
    errors: dict[str, str]
    """The names of tests for which anything else went wrong, and what."""
    passed: int
    ended: bool
    """Whether it ended in time."""
    text: str


@dataclass(frozen=True)
class Site:
    """Where tests run: `url` names a PostgreSQL that nothing else uses meanwhile. A test may take `limit` seconds. `over` ends
    what runs."""

    url: str
    limit: float
    over: threading.Event


@contextmanager
def copied() -> Iterator[Path]:
    """The directory of a copy of what the tests need. It has Python's caches, too: compiling takes longer than many a test."""
    with tempfile.TemporaryDirectory(prefix="steve-mutant-") as directory:
        for name in ("steve", "tests"):
            unfinished = shutil.ignore_patterns("*.pyc.*")  # which another program may be writing at this moment
            shutil.copytree(ROOT / name, Path(directory, name), symlinks=True, ignore=unfinished)
        shutil.copy(ROOT / "pyproject.toml", directory)
        yield Path(directory)


def wrong_with(tests: Sequence[str], site: Site) -> str:
    """Run these tests on an unbroken copy. Returns what is wrong, or ""."""
    with copied() as directory:
        code = "import steve; print(steve.__file__)"
        found = subprocess.run(
            [sys.executable, "-c", code], cwd=directory, env=_environ(directory, site.url), capture_output=True, text=True
        )
        if not found.stdout.startswith(str(directory)):
            return f"the copy in {directory} is not what Python imports: {found.stdout}{found.stderr}"
        run = _run(directory, tests, site)
    return "" if run.ended and run.passed and not run.failed and not run.errors else run.text


def take(mutant: Mutant, site: Site) -> Trial:
    """Try one mutant. Raises Misfit."""
    began = time.monotonic()
    with copied() as directory:
        mutant.apply(directory / "steve")
        run = _run(directory, [CONTROL, mutant.test], site, "--exitfirst")
    fate, said = _judge(run)
    return Trial(mutant, fate, time.monotonic() - began, said)


def _judge(run: Run) -> tuple[Fate, str]:
    control = CONTROL.rpartition("::")[2]
    if not run.ended:
        return Fate.INVALID, "it did not end in time"
    if said := run.failed.pop(control, "") or run.errors.pop(control, ""):
        return Fate.INVALID, f"nothing works any more: {said}"
    if run.failed:
        return Fate.KILLED, next(iter(run.failed.values()))
    if run.errors:
        return Fate.INVALID, next(iter(run.errors.values()))
    return (Fate.SURVIVED, "") if run.passed > 1 else (Fate.INVALID, f"no test was run: {run.text[-500:]}")


def _run(directory: Path, tests: Sequence[str], site: Site, *options: str) -> Run:
    """Run tests in a process group of their own, so that none of them outlives us. pytest ends each test after the limit,
    and is itself ended only if a mutant keeps it from that."""
    report = directory / "report.xml"
    command = [sys.executable, "-m", "pytest", "--quiet", "-p", "no:cacheprovider", f"--junitxml={report}", *options]
    command += [f"--timeout={site.limit}", *(f"tests/{test}" for test in tests)]
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            command, cwd=directory, env=_environ(directory, site.url), stdout=output, stderr=output, start_new_session=True
        )
        try:
            ended = _ends(process, site.limit * len(tests) + END_SECONDS, site.over)
        finally:
            _end(process)
        output.seek(0)
        return _read(report, ended, output.read())


def _ends(process: subprocess.Popen[bytes], seconds: float, over: threading.Event) -> bool:
    """Wait for its end. Returns whether it came in time, and before `over`."""
    deadline = time.monotonic() + seconds
    while process.poll() is None:
        if over.wait(0.02) or time.monotonic() > deadline:
            return False
    return True


def _environ(directory: Path, url: str) -> dict[str, str]:
    """Variables that make Python import the copy and not the installed checkout, also in programs that the tests start."""
    paths = {"PYTHONPATH": str(directory), "STEVE_TEST_ENVIRONMENTS": str(ROOT / ".cache")}
    return {"STEVE_TEST_PATIENCE": PATIENCE, **os.environ, **paths, "STEVE_TEST_DATABASE_URL": url}


def _end(process: subprocess.Popen[bytes]) -> None:
    """End it gently at first: a test that is interrupted stops the server that it may have started."""
    try:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
            process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        pass
    try:
        os.killpg(process.pid, signal.SIGKILL)  # and what it has left behind
    except ProcessLookupError:
        pass
    process.wait()


def _read(report: Path, ended: bool, text: str) -> Run:
    """Read pytest's report. A case may have both: a failure of the test, and an error of its clean-up."""
    failed: dict[str, str] = {}
    errors: dict[str, str] = {}
    passed = 0
    for case in ElementTree.parse(report).iter("testcase") if report.exists() else ():
        name = case.get("name", "").partition("[")[0]
        ills = [(ill.tag, " ".join(ill.get("message", "").split())[:200]) for ill in case if ill.tag in ("failure", "error")]
        passed += case.find("skipped") is None and not ills
        for tag, said in ills:
            # What a fixture finds at the end of a test counts as found by the test.
            looked = said if tag == "failure" else said.removeprefix('failed on teardown with "')
            is_assertion = looked.startswith(ASSERTIONS) and not looked.startswith("Failed: Timeout")
            (failed if is_assertion else errors)[name] = said
    return Run(failed, errors, passed, ended, text)
