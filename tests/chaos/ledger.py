"""The record of what happened, outside the database: each process appends lines of JSON to its own file, one `write` a line.

A ledger in the database would suffer the same faults: after a lost COMMIT nobody knows whether an entry is there. What is
written to a file stays, even if the process is killed at the next instant. Times are time.monotonic(), one clock for all
processes.

    enq_ok, enq_unknown, enq_fail   k       a create returned; its outcome is unknown; it failed and stored nothing
    enq_duplicate                   k, of: a create returned the job `of`, which was there and had its key. With a key, these
                                    four also have `key` and `begun`, the time when the create began
    asked                           k: somebody waits for the job, by a future
    answered                        k, how: the future is done: the job's status, or the name of the error
    run_start                       k, attempt, run, pid
    run_end                         k, attempt, run, pid, ok
    listener                        k, status, pid
    reached                         k, attempt, run, pid, step: the handler waits there (effects.py)
    logged                          run, n: a run has logged its line with this number
    fault                           what, and pid where a process is its victim
    healed                          what was broken is whole again
    death                           pid: a process ended without being asked to
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

Event = dict[str, Any]


class Ledger:
    """One process's file. `note` may be called from any thread."""

    def __init__(self, path: Path) -> None:
        self.file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def note(self, event: str, **fields: object) -> None:
        os.write(self.file, json.dumps({"t": time.monotonic(), "ev": event} | fields).encode() + b"\n")

    def close(self) -> None:
        os.close(self.file)


def read(directory: Path) -> list[Event]:
    """All processes' events, in the order of time."""
    texts = [path.read_text() for path in directory.glob("*.jsonl")]
    # of a line that is being written, a reader may see the beginning
    events = [json.loads(line) for text in texts for line in text[: text.rfind("\n") + 1].splitlines()]
    return sorted(events, key=lambda event: event["t"])
