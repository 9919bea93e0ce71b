"""What becomes of jobs whose handlers called `run.complete()`: the database decides, not what the handler did in the end.

The handler's transaction may have been committed, though the handler then raised: the reply to its COMMIT was lost, say. It
may have been rolled back, though the handler then returned. It may even be open still, on a connection that the handler left
behind; then it holds the lock of the job's row. So such a verdict is written by the statement that passes locked rows by:

    written     the transaction was rolled back: the job becomes what the handler's return value or exception makes of it
    locked      the transaction is open: the verdict is set aside until it is decided (aside.py)
    neither     the job is not held any more. If it completed under this very claim, the transaction was committed. Otherwise
                another process has taken the job.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from operator import attrgetter

from steve._model.claimed import Settled
from steve._model.outcome import Verdict
from steve._runtime.log import logger
from steve.job import Status

FindCompleted = Callable[[Sequence[Verdict]], Mapping[int, tuple[Settled, bool, str | None]]]

_completed_of = attrgetter("completed")


def may_have_completed(group: Sequence[Verdict]) -> bool:
    """Whether the handler of any of these called `run.complete()`."""
    return any(map(_completed_of, group))


def in_parts(verdicts: Sequence[Verdict]) -> list[Sequence[Verdict]]:
    """The verdicts in groups to be written one after the other: those of plain handlers first, by one statement."""
    if not may_have_completed(verdicts):
        return [verdicts] if verdicts else []
    plain = [one for one in verdicts if one.completed is None]
    completing = [one for one in verdicts if one.completed is not None]
    return [plain, completing] if plain else [completing]


def decided(
    group: Sequence[Verdict],
    landed: Mapping[int, Settled | None],
    locked: Collection[int],
    find_completed: FindCompleted,
) -> tuple[Sequence[Verdict], dict[int, Settled | None]]:
    """The group after it was written, with the completions in the places of the verdicts that they overrule, and what of it is
    in the database. `landed`, `locked`: the places that were written, and those whose rows are locked."""
    unknown = [
        place
        for place, verdict in enumerate(group, 1)
        if verdict.completed is not None and place not in landed and place not in locked
    ]
    found = find_completed([group[place - 1] for place in unknown]) if unknown else {}
    verdicts, written = list(group), dict(landed)
    for number, (settled, is_kept, result) in found.items():
        place = unknown[number - 1]
        verdict = group[place - 1]
        assert verdict.completed is not None
        # By the row, because an earlier try, whose reply was lost, may have written the verdict itself.
        verdicts[place - 1] = verdict.completion(result if is_kept else verdict.completed.result)
        written[place] = settled
        if verdict.status is not Status.COMPLETED:
            logger.info(
                "job %s has completed: the transaction of attempt %d was committed, whatever its handler did afterwards",
                verdict.job.uid, verdict.job.attempts,
                extra=verdict.job.log_extra(),
            )  # fmt: skip
    return verdicts, written
