"""The commands and files of the pages about the command line and about supervisors are right."""

import configparser
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from steve import JobManager
from steve.cli import main
from steve.cli.program import parser
from tests.cli.conftest import Ran
from tests.docs.pages import Block, how_to

FILES = {block.language: block for block in how_to("supervisors").blocks if block.language != "console"}


def test_every_command_of_the_page_can_be_typed(
    steve: Callable[..., Ran], manager: JobManager, capsys: pytest.CaptureFixture[str]
) -> None:
    uid = str(manager.create("welcome").uid)
    manager.set_schedule("nightly", None, "welcome", every=timedelta(days=1))
    lines = [line for block in how_to("command-line").blocks if block.language == "console" for line in block.text.splitlines()]
    codes = {}
    for line in lines:
        words = shlex.split(line.removeprefix("$ "))
        if words[0] == "steve":
            if words[1] == "completion":
                continue  # it takes no schema
            codes[line] = steve(*(uid if word == "UID" else word for word in words[1:])).code
    assert len(codes) > 15
    wrong = {line: code for line, code in codes.items() if code not in (0, 3, 4)}
    assert list(wrong.values()) == [1], "the job on the page has not failed, so it cannot be retried"


def takes(words: list[str]) -> bool:
    return bool(parser().parse_args(words[words.index("run") :]).run)


def test_the_unit_of_systemd_is_one_that_systemd_takes(tmp_path: Path) -> None:
    text = FILES["ini"].text
    unit = configparser.ConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(text)
    service = unit["Service"]
    words = shlex.split(service["ExecStart"])
    assert takes(words)
    assert float(service["TimeoutStopSec"]) > float(words[words.index("--stop-timeout") + 1]) + 5
    assert (service["RestartPreventExitStatus"], service["SuccessExitStatus"]) == ("2", "75")
    if (analyze := shutil.which("systemd-analyze")) is not None:
        file = tmp_path / "shop-worker.service"
        file.write_text(text.replace("/srv/shop/.venv/bin/steve", "/bin/true"))
        ran = subprocess.run([analyze, "verify", str(file)], capture_output=True, text=True)
        assert "shop-worker.service:" not in ran.stderr, ran.stderr


@pytest.mark.parametrize("block", [FILES["dockerfile"], FILES["yaml"]], ids=["dockerfile", "yaml"])
def test_the_command_in_a_container_is_one(block: Block) -> None:
    (words,) = re.findall(r'(?:CMD|args:) (\[".*"\])', block.text)
    assert takes(json.loads(words))


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["sta"], ["status"]),
        (["jobs", "re"], ["retry"]),
        (["queues", "list", "--out"], ["--output"]),
        (["queues", "list", "--output", "js"], ["json", "jsonl"]),
        (["jobs", "list", "--status", "f"], ["failed"]),
        (["completion", ""], ["bash", "zsh", "fish"]),
        (["nonsense", "zz"], []),
    ],
)
def test_a_shell_completes_commands_options_and_choices(
    words: list[str], found: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["completion", "words", "--", *words]) == 0
    assert capsys.readouterr().out.split() == found


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_for_a_shell_is_one_that_it_takes(shell: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["completion", shell]) == 0
    if (program := shutil.which(shell)) is not None:
        script = tmp_path / "script"
        script.write_text(capsys.readouterr().out)
        assert subprocess.run([program, "-n", str(script)], capture_output=True, text=True).stderr == ""
