"""What listeners are told of: a run that begins, an outcome that is committed, or a job that a call has cancelled."""

from __future__ import annotations

import json
from typing import NamedTuple

from steve._model import json as _json
from steve._model.claimed import Claimed, Extras, Settled
from steve._model.outcome import Verdict
from steve.job import Attempt, AttemptStatus, Job, Progress, Status


class Event(NamedTuple):
    """A run that begins (no verdict), or one that is settled."""

    job: Claimed
    process: str
    verdict: Verdict | None
    settled: Settled | None
    progress: Progress | None = None
    """What the run said last of how far it was."""

    def is_final(self) -> bool:
        return self.verdict is not None and self.verdict.is_final

    def make_job(self) -> Job:
        """The job as the database has it, decoded anew for each listener, so that none sees what another one did to it."""
        if self.verdict is None or self.settled is None:
            return self.job.job(_json.decode, Status.RUNNING)
        verdict, settled = self.verdict, self.settled
        return self.job.job(
            _json.decode_or_text,  # listeners also hear of a job that failed because its payload cannot be decoded
            verdict.status,
            result=None if verdict.result is None else _json.decode(verdict.result),
            error=verdict.error,
            updated_at=settled.updated_at,
            run_at=settled.run_at,
            claimed_at=self.job.claimed_at if verdict.is_final else None,
            started_at=settled.started_at,
            completed_at=settled.completed_at,
            progress=self.progress,
        )

    def make_attempt(self) -> Attempt:
        job, verdict, settled = self.job, self.verdict, self.settled
        if verdict is None or settled is None or verdict.attempt_status is None:
            return Attempt(job.uid, job.attempts, self.process, job.claimed_at, None, AttemptStatus.RUNNING, None, None)
        return Attempt(
            job.uid,
            job.attempts,
            self.process,
            settled.begun_at,
            settled.updated_at,
            verdict.attempt_status,
            verdict.error,
            verdict.details,
            verdict.error_type,
        )


def cancelled_event(job: Job, process: str) -> Event:
    """A call in this process has cancelled the job before it ran. There is no claim, and so no attempt."""
    extras = Extras(
        job.unique,
        job.tags or None,
        job.metadata or None,
        job.timeout,
        None if job.expires_at is None else job.expires_at.isoformat(),
        None if job.cancel_asked_at is None else job.cancel_asked_at.isoformat(),
    )
    claimed = Claimed(
        job.uid, job.queue, job.type, job.priority, json.dumps(job.payload), job.error, job.attempts, job.crashes,
        job.max_attempts, job.backoff_strategy, 0.0, 0.0, 0.0, 0, job.claimed_at,  # type: ignore[arg-type]
        job.created_at, job.run_at, job.started_at,
        json.dumps(extras._asdict()) if any(value is not None for value in extras) else None,
    )  # fmt: skip
    verdict = Verdict(claimed, None, Status.CANCELLED, None, error=job.error)
    settled = Settled(job.run_at, job.started_at, job.updated_at, job.completed_at, job.updated_at)
    return Event(claimed, process, verdict, settled)
