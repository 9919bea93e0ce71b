"""What became of the mutants: a line for the terminal, a table in Markdown for docs/reliability.md."""

from __future__ import annotations

from collections.abc import Sequence

from .catalog import Mutant
from .trial import Fate, Trial


def line(trial: Trial) -> str:
    """One line a mutant."""
    said = f" ({trial.said})" if trial.fate is Fate.INVALID else ""
    breaks, test = trial.mutant.breaks, name_of(trial.mutant)
    return f"{trial.mutant.id:5}{trial.fate:9}{trial.seconds:6.1f} s  {breaks} - {test}{said}"


def markdown(trials: Sequence[Trial]) -> str:
    killed = sum(trial.fate is Fate.KILLED for trial in trials)
    text = [
        f"{killed} of {len(trials)} mutants were killed. Each is one small change to a copy of `steve/`, with which a job",
        "still runs; on the unchanged copy all of these tests pass. Written by `make mutants`.",
        "",
        "| mutant | what steve does then | where | the test that fails | seconds |",
        "|---|---|---|---|---|",
    ]
    for trial in trials:
        mutant = trial.mutant
        files = ", ".join(dict.fromkeys(f"`{edit.file}`" for edit in mutant.edits))
        breaks = _in_table(f"{mutant.breaks}. {mutant.note}" if mutant.note else mutant.breaks)
        test = f"`{name_of(mutant)}`" if trial.fate is Fate.KILLED else f"**{trial.fate}**: `{name_of(mutant)}`"
        text.append(f"| {mutant.id} | {breaks} | {files} | {test} | {trial.seconds:.0f} |")
    return "\n".join(text) + "\n"


def name_of(mutant: Mutant) -> str:
    return mutant.test.rpartition("::")[2]


def _in_table(text: str) -> str:
    return text.replace("|", "\\|")
