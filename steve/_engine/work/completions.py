"""`run.complete()` and `run.transaction()`: a handler completes its job in a transaction of its own.

The statement checks the fence and writes the completion (complete_job.sql); the commit is the handler's. Whether it comes, and
whether it arrives, nobody here knows. So the verdict on such a run says both what the handler did in the end and what it has
completed, and the settler looks which of the two the database has (settle/completions.py).

Either the completion is written, or the transaction is made to fail. So a handler that catches the error cannot commit what it
has done for a job that it does not hold.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any, Protocol

from steve._database.caller import AnyConnection, Caller, bound, caller_of, place_of, raise_to_caller
from steve._database.execute import is_alone
from steve._database.failures import Connection, DatabaseFailure, Misconfigured
from steve._database.statements.completion import CompletionStatements, RunClaim
from steve._model import json as _json
from steve._model.claimed import ClaimKey
from steve.errors import ForkedProcessError, LeaseLost, NotPossible, SchemaError, SteveError, Unavailable
from steve.job import Status
from steve.run import Completion, Run, claim_of, completion_of, note_completion, uninterrupted


class TransactionsPort(Protocol):
    """Where `run.transaction()` gets its transactions from."""

    def transaction(self, *, at_once: int) -> AbstractContextManager[Connection]:
        """As `Connections.transaction`."""

    def reason(self, error: DatabaseFailure) -> str:
        """Why it could not be used."""


class Completions:
    """Implements `CompletionPort`. All runs of an engine share one object, and any thread may call it."""

    def __init__(
        self,
        *,
        process: str,
        statements: CompletionStatements,
        connections: TransactionsPort,
        max_result_bytes: int,
        workers: Callable[[], int],
        awaited: Callable[[], bool],
    ) -> None:
        """`process`: the name of this process, for the log of attempts. `workers()`: how many there are in all pools.
        `awaited()`: whether to tell somebody who waits for jobs to end."""
        self._process = process
        self._statements = statements
        self._connections = connections
        self._most = max_result_bytes
        self._workers = workers
        self._awaited = awaited
        self._pid = os.getpid()
        self.claims: set[ClaimKey] = set()
        """The claims of running handlers that have called `complete`. The tables may say that such a job is not held any more,
        although nobody has taken it. Operations on a set are atomic."""

    def complete(self, run: Run, result: object, connection: object, bind: object) -> None:
        theirs = caller_of(bound(connection, bind))
        if theirs is None:
            raise TypeError("complete: connection must be the one on which your transaction is open, not None")
        self._check_process(run)
        if is_alone(theirs):
            raise ValueError(
                f"complete: the connection is in autocommit mode and no transaction is open on it, so that the end of job "
                f"{run.job.uid} would be committed alone: use `with connection.transaction():`, or run.transaction()"
            )
        encoded = self._encoded(result, theirs)
        with uninterrupted():
            self._complete(run, theirs, encoded)

    @contextmanager
    def transaction(self, run: Run) -> Iterator[Any]:
        self._check_process(run)
        before = completion_of(run)
        try:
            with uninterrupted(), self._connections.transaction(at_once=self._workers()) as connection:
                yield connection
                self._complete_at_end(run, connection, before)
        except DatabaseFailure as error:
            text = f"run.transaction(): the database could not be used: {self._connections.reason(error)}"
            raise Unavailable(text) from None

    def forget(self, claim: ClaimKey) -> None:
        """Its handler has returned."""
        self.claims.discard(claim)

    # -------------------------------------------------------------------------------------------------------------------

    def _complete_at_end(self, run: Run, connection: AnyConnection, before: Completion | None) -> None:
        """`before`: what `complete` was called with before the block. The block may have called it, and rolled that back to a
        savepoint."""
        given = completion_of(run)
        if given is before or given is None:
            self._complete(run, connection, None)
            return
        with self._drivers_errors(connection):
            lease = self._statements.find_lease(connection, _claim(run))
        if lease is None or lease.status != Status.COMPLETED:
            self._complete(run, connection, given.result)

    def _complete(self, run: Run, connection: AnyConnection, result: str | None) -> None:
        again = completion_of(run) is not None
        note_completion(run, Completion(result))  # before it is sent, because it may be carried out though an error comes back
        claim = _claim(run)
        key = claim.uid, claim.lease_no
        self.claims.add(key)
        try:
            # If this run has completed the job in another transaction, which is open, then this one would wait for ever.
            locked = again and self._statements.is_locked(connection, claim.uid)
            if not locked and self._statements.complete_job(connection, self._process, claim, result, tell=self._awaited()):
                return
            error = self._refusal(run, connection, claim, locked)
            self._statements.abort_transaction(connection, str(error))
        except Misconfigured as failure:
            raise self._explained(run, connection, failure) from failure.__cause__
        except DatabaseFailure as failure:
            raise_to_caller(failure, connection, self._statements.schema)
        if isinstance(error, LeaseLost):
            self.claims.discard(key)  # so that `run.lost` becomes true
        raise error

    def _refusal(self, run: Run, connection: AnyConnection, claim: RunClaim, locked: bool) -> SteveError:
        """Why the job cannot be completed."""
        lease = self._statements.find_lease(connection, claim)
        text = f"complete: job {claim.uid} "
        if lease is None:
            return SteveError(
                f"{text}is not in {place_of(connection)}, to which this connection leads, as far as its transaction sees: "
                "pass a connection to the database of the manager"
            )
        if lease.lease_no < claim.lease_no:
            return SteveError(
                f"{text}was claimed by this run after the snapshot of this transaction was taken: begin the transaction in "
                "the handler, or pass a connection to the database of the manager"
            )
        if lease.lease_no > claim.lease_no or not lease.is_same:
            return LeaseLost(
                f"{text}was taken from this process while attempt {run.attempt} ran (it is {lease.status} now): this "
                "transaction is rolled back, and whatever the handler returns or raises is dropped"
            )
        if locked:
            what = (
                "may have been completed by this run already, in a transaction that is still open: commit or roll back that one"
            )
        elif lease.status == Status.COMPLETED:
            what = "has been completed by this run already: call complete() once, as the last thing before the commit"
        else:
            what = f"does not run any more, it is {lease.status}"
        return NotPossible(f"{text}{what}; this transaction is rolled back", replace(run.job, status=lease.status))

    def _explained(self, run: Run, connection: AnyConnection, failure: Misconfigured) -> SchemaError:
        text = f"complete: job {run.job.uid} cannot be completed on this connection: "
        schema = self._statements.schema
        if failure.sqlstate == "42501":
            role = "" if isinstance(connection, Caller) else f" {connection.info.user!r}"
            return SchemaError(
                f"{text}{failure}; steve.grants(schema={schema!r}, completer=...) prints the rights that its role{role} needs"
            )
        return SchemaError(
            f"{text}{failure}; it leads to {place_of(connection)}, and the tables of the manager are in schema {schema!r} "
            "of its own database"
        )

    @contextmanager
    def _drivers_errors(self, connection: AnyConnection) -> Iterator[None]:
        """Raises a DatabaseFailure as the driver's error that it stands for."""
        try:
            yield
        except DatabaseFailure as failure:
            raise_to_caller(failure, connection, self._statements.schema)

    def _encoded(self, result: object, connection: AnyConnection) -> str | None:
        if result is None:
            return None
        try:
            text = _json.encode(result, "result", clean=True)
        except _json.NotStorable as flaw:
            raise ValueError(f"complete: {flaw}") from None
        if (size := _json.size(text)) > self._most:
            raise ValueError(f"complete: the result has {size} bytes, more than max_result_bytes={self._most}")
        is_wide = not isinstance(connection, Caller) and connection.info.encoding == "utf-8"
        return text if is_wide else _json.in_ascii(text)

    def _check_process(self, run: Run) -> None:
        if os.getpid() != self._pid:
            raise ForkedProcessError(
                f"complete: this process was forked off in the handler of job {run.job.uid}, whose run belongs to the parent"
            )


def _claim(run: Run) -> RunClaim:
    uid, lease_no, begun = claim_of(run)
    assert run.job.claimed_at is not None
    return RunClaim(uid, lease_no, run.job.claimed_at, begun)
