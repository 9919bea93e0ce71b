"""A copy of this checkout, broken or not, and tests run on it: never on the checkout itself."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
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
"""Green whatever is broken: a mutant is a steve that works, but for one thing. One that does nothing fails every test."""

ASSERTIONS = ("assert ", "AssertionError", "Failed: ")
"""How the failure begins of a test that looked and saw something wrong; any other error may be the mutant's own mistake."""

END_SECONDS = 15.0
"""How long a run may take to end when its time is over."""


class Fate(StrEnum):
    KILLED = "killed"
    SURVIVED = "survived"
    INVALID = "invalid"
    """No verdict: something else failed than the test, or it did not end in time."""


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
    """What pytest says."""

    failed: dict[str, str]
    """The names of tests that failed by an assertion, and how."""
    errors: dict[str, str]
    """The names of those for which anything else went wrong."""
    passed: int
    ended: bool
    """In time."""
    text: str


@contextmanager
def copied() -> Iterator[Path]:
    """The directory of a copy of what the tests need."""
    with tempfile.TemporaryDirectory(prefix="steve-mutant-") as directory:
        for name in ("steve", "tests"):
            shutil.copytree(ROOT / name, Path(directory, name), ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", directory)
        yield Path(directory)


def check_sound(mutants: Sequence[Mutant], url: str, limit: float) -> str:
    """Run their tests, and the control, on a copy that is not broken; what is wrong, "" if nothing is. Raises Misfit."""
    for mutant in mutants:  # rather now than after minutes
        with copied() as directory:
            mutant.apply(directory / "steve")
    with copied() as directory:
        code = "import steve; print(steve.__file__)"
        found = subprocess.run(
            [sys.executable, "-c", code], cwd=directory, env=_environ(directory, url), capture_output=True, text=True
        )
        if not found.stdout.startswith(str(directory)):
            return f"the copy in {directory} is not what Python imports: {found.stdout}{found.stderr}"
        tests = list(dict.fromkeys([CONTROL, *(mutant.test for mutant in mutants)]))
        run = _run(directory, tests, url, limit)
    return "" if run.ended and run.passed and not run.failed and not run.errors else run.text


def take(mutant: Mutant, url: str, limit: float) -> Trial:
    """Raises Misfit."""
    began = time.monotonic()
    with copied() as directory:
        mutant.apply(directory / "steve")
        run = _run(directory, [CONTROL, mutant.test], url, limit, "--exitfirst")
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


def _run(directory: Path, tests: Sequence[str], url: str, limit: float, *options: str) -> Run:
    """In a process group of its own, so that nothing of it outlives us. Each test has `limit` seconds; pytest itself sees to
    that, and is ended only where a mutant does not let it."""
    report = directory / "report.xml"
    command = [sys.executable, "-m", "pytest", "--quiet", "-p", "no:cacheprovider", f"--junitxml={report}", *options]
    command += [f"--timeout={limit}", *(f"tests/{test}" for test in tests)]
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            command, cwd=directory, env=_environ(directory, url), stdout=output, stderr=output, start_new_session=True
        )
        try:
            process.wait(limit * len(tests) + END_SECONDS)
            ended = True
        except subprocess.TimeoutExpired:
            ended = False
        finally:
            _end(process)
        output.seek(0)
        return _read(report, ended, output.read())


def _environ(directory: Path, url: str) -> dict[str, str]:
    """The copy comes before the checkout that is installed here, in the programs too that the tests start."""
    return os.environ | {"PYTHONPATH": str(directory), "STEVE_TEST_DATABASE_URL": url}


def _end(process: subprocess.Popen[bytes]) -> None:
    """Gently at first: a test may have started a server, which it stops when it is interrupted."""
    try:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
            process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        pass
    try:
        os.killpg(process.pid, signal.SIGKILL)  # also what it has left behind
    except ProcessLookupError:
        pass
    process.wait()


def _read(report: Path, ended: bool, text: str) -> Run:
    """pytest's report: a case may have both, a failure of the test and an error of what it cleans up."""
    failed: dict[str, str] = {}
    errors: dict[str, str] = {}
    passed = 0
    for case in ElementTree.parse(report).iter("testcase") if report.exists() else ():
        name = case.get("name", "").partition("[")[0]
        ills = [(ill.tag, " ".join(ill.get("message", "").split())[:200]) for ill in case if ill.tag in ("failure", "error")]
        passed += case.find("skipped") is None and not ills
        for tag, said in ills:
            # What a fixture finds when its test has ended is found by the test.
            looked = said if tag == "failure" else said.removeprefix('failed on teardown with "')
            is_assertion = looked.startswith(ASSERTIONS) and not looked.startswith("Failed: Timeout")
            (failed if is_assertion else errors)[name] = said
    return Run(failed, errors, passed, ended, text)
