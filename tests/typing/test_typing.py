"""mypy and pyright know the parameters of tasks and hooks: of calls.py they flag the wrong lines, and only those."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(600)

CALLS = Path(__file__).parent / "calls.py"
ROOT = CALLS.parent.parent.parent


def run(*command: str) -> str:
    process = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, timeout=400)
    assert process.returncode == 1, process.stdout + process.stderr
    return process.stdout


def mypy(folder: Path) -> set[int]:
    output = run("mypy", "--strict", "--cache-dir", str(folder), str(CALLS))
    found = re.findall(r"^(.+?):(\d+): error: ", output, re.MULTILINE)
    assert {Path(file).name for file, _ in found} == {CALLS.name}, output
    return {int(line) for _, line in found}


def pyright(folder: Path) -> set[int]:
    (folder / CALLS.name).write_text(CALLS.read_text())  # pyright takes only files beside its settings
    settings = {"extraPaths": [str(ROOT)], "typeCheckingMode": "strict"}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    output = json.loads(run("pyright", "--outputjson", "--pythonpath", sys.executable, "--project", str(folder)))
    return {one["range"]["start"]["line"] + 1 for one in output["generalDiagnostics"] if one["severity"] == "error"}


@pytest.mark.parametrize("checker", [mypy, pyright], ids=["mypy", "pyright"])
def test_a_type_checker_flags_the_wrong_calls_and_no_others(checker: Callable[[Path], set[int]], tmp_path: Path) -> None:
    lines = CALLS.read_text().splitlines()
    wrong = {number for number, line in enumerate(lines, 1) if line.endswith("  # wrong")}
    assert len(wrong) > 20
    flagged = checker(tmp_path)
    assert [lines[number - 1] for number in sorted(flagged - wrong)] == [], "flagged, and right"
    assert [lines[number - 1] for number in sorted(wrong - flagged)] == [], "wrong, and not flagged"
