"""The report of a run: a line for the terminal for each fault, and a page in Markdown."""

from __future__ import annotations

import platform
import sys
from collections import Counter
from dataclasses import dataclass, field
from importlib.metadata import version
from statistics import median
from typing import Any

from .checker import FLAWS, Findings
from .faults import Fault


@dataclass
class Result:
    """What all rounds of one fault found."""

    fault: Fault
    trials: int = 0
    found: Findings = field(default_factory=Findings)
    notes: dict[str, Any] = field(default_factory=dict)
    met: Counter[str] = field(default_factory=Counter)
    """What the workers logged, errors of the database for example, and how often."""
    skipped: str = ""
    kept: list[str] = field(default_factory=list)
    """The folders of the ledgers of rounds with a flaw."""


def line(result: Result) -> str:
    """The fault's line for the terminal."""
    found = result.found
    if result.skipped:
        return f"{result.fault.id:5} skipped: {result.skipped}"
    flaws = "; ".join(f"{name}: {len(whom)} ({', '.join(whom[:3])})" for name, whom in found.flaws.items() if whom)
    counts = f"{result.trials} trials, {found.jobs:,} jobs, {found.extra_runs} extra runs"
    return f"{result.fault.id:5} {counts}, {recovery(found)}: {flaws or 'nothing lost'}"


def recovery(found: Findings) -> str:
    times = found.recoveries
    return f"back after {median(times):.2f} s, at most {max(times):.2f}" if times else "-"


def bound(count: int) -> str:
    """If none of so many independent trials showed a flaw, its rate is below this, with 95 % confidence."""
    return f"{3 / count:.2g}" if count else "-"


def markdown(results: list[Result], seed: str, server: str, seconds: float) -> str:
    taken = [result for result in results if not result.skipped]
    total = Findings()
    for result in taken:
        total.add(result.found)
    trials = sum(result.trials for result in taken)
    verdict = "nothing lost, nothing unexplained." if total.is_sound() else "**with flaws**, below."
    text = [
        f"Seed `{seed}`, {seconds / 60:.0f} minutes, {server}, Python {platform.python_version()}, {sys.platform},",
        f"psycopg {version('psycopg')}.",
        "",
        f"{len(taken)} faults, {trials:,} trials, {total.jobs:,} jobs, {total.runs:,} runs of a handler: {verdict}",
        "",
        "| fault | what is done | trials | jobs | faults | deaths | extra runs | recovered | back after: median, most |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for result in taken:
        found = result.found
        times = f"{median(found.recoveries):.2f} s, {max(found.recoveries):.2f} s" if found.recoveries else "-"
        counts = f"{found.jobs:,} | {found.faults:,} | {found.deaths} | {found.extra_runs:,} | {found.recovered}"
        trial = f"{result.trials} ({result.fault.trial})"
        text.append(f"| {result.fault.id} | {result.fault.title} | {trial} | {counts} | {times} |")
    text += ["", "Each of these must be 0:", "", "| | what | found | rate, with 95 % confidence, below |", "|---|---|---|---|"]
    for name, meaning in FLAWS.items():
        count = len(total.flaws[name])
        per_trial = name in ("leaks", "state", "broken")
        rate = "-" if count else f"{bound(trials if per_trial else total.jobs)} a {'trial' if per_trial else 'job'}"
        text.append(f"| {name} | {meaning} | {count} | {rate} |")
    text += [
        "",
        f"{total.untold} final states were not told to a listener; {total.deaths} processes died. A listener is called after",
        "the commit, by the process that ran the job, and is not called if that process dies first.",
        "",
        "If n independent trials show no flaw, the rate of that flaw is below 3/n with 95 % confidence. The jobs of one trial",
        "are not quite independent, because they meet the same fault. So the bound for a job is optimistic. The bound for a",
        f"trial is the cautious one: {bound(trials)} for all faults together, and for a single fault 3 divided by its own",
        "number of trials.",
        "",
        "A crash of the server is a crash of one of its processes and not of the machine: data that the operating system has",
        "accepted survives it.",
        "",
        "Besides these counts each fault has expectations of its own. What was measured or seen is in brackets:",
        "",
    ]
    for result in taken:
        noted = [*result.notes.items(), *((name, count) for name, count in result.met.most_common() if count)]
        notes = "; ".join(f"{name}: {value}" for name, value in noted)
        expects = "nothing further" if result.fault.expects == "-" else result.fault.expects
        text.append(f"- {result.fault.id}: {expects}{f' ({notes})' if notes else ''}")
    text += [
        f"- {result.fault.id} ({result.fault.title}) was skipped: {result.skipped}" for result in results if result.skipped
    ]
    if not total.is_sound():
        text += ["", "### Flaws", ""]
        for result in taken:
            for name, whom in result.found.flaws.items():
                if whom:
                    text.append(f"- {result.fault.id}, {name}: {len(whom)}, for example {'; '.join(whom[:3])[:500]}")
            if not result.found.is_sound():
                text.append(f'  Repeat it: `make chaos ARGS="--only {result.fault.id} --seed {seed}"`')
    return "\n".join(text) + "\n"
