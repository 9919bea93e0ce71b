"""steve's statements, in a class for each subject.

jobs.py, unique.py, control.py, bulk.py, audit.py, claims.py, settlement.py, completion.py, processes.py, notifications.py,
waits.py, pauses.py, records.py, fleet.py, schedules.py, stats.py and checks.py hold the classes; script.py holds the texts of
the files in sql/ and sends them, callers.py has them for a caller's transaction, and rows.py turns rows into values. A method
takes the connection to use, sends a file of sql/ (usually the one of the same name) and returns values. It never ends a
transaction that is open on the connection.
"""

from __future__ import annotations

from typing import NamedTuple

from steve._database.statements.audit import AuditStatements
from steve._database.statements.bulk import BulkStatements
from steve._database.statements.checks import CheckStatements
from steve._database.statements.claims import ClaimStatements
from steve._database.statements.completion import CompletionStatements
from steve._database.statements.control import ControlStatements
from steve._database.statements.fleet import FleetStatements
from steve._database.statements.jobs import JobStatements
from steve._database.statements.notifications import NotificationStatements
from steve._database.statements.pauses import PauseStatements
from steve._database.statements.processes import ProcessStatements
from steve._database.statements.records import RecordStatements
from steve._database.statements.schedules import ScheduleStatements
from steve._database.statements.script import Script
from steve._database.statements.settlement import SettlementStatements
from steve._database.statements.stats import StatStatements
from steve._database.statements.unique import UniqueStatements
from steve._database.statements.waits import WaitStatements
from steve._model.settings import Settings


class Statements(NamedTuple):
    """All statements for the tables in one schema."""

    jobs: JobStatements
    unique: UniqueStatements
    control: ControlStatements
    bulk: BulkStatements
    audit: AuditStatements
    claims: ClaimStatements
    settlement: SettlementStatements
    completion: CompletionStatements
    processes: ProcessStatements
    notifications: NotificationStatements
    waits: WaitStatements
    pauses: PauseStatements
    checks: CheckStatements
    records: RecordStatements
    fleet: FleetStatements
    schedules: ScheduleStatements
    stats: StatStatements
    schema: str


def statements_for(settings: Settings) -> Statements:
    script = Script(settings.schema, settings.tuning)
    return Statements(
        jobs=JobStatements(script),
        unique=UniqueStatements(script),
        control=ControlStatements(script),
        bulk=BulkStatements(script),
        audit=AuditStatements(script),
        claims=ClaimStatements(script, settings.queues),
        settlement=SettlementStatements(script),
        completion=CompletionStatements(script),
        processes=ProcessStatements(script),
        notifications=NotificationStatements(script),
        waits=WaitStatements(script),
        pauses=PauseStatements(script),
        checks=CheckStatements(script),
        records=RecordStatements(script),
        fleet=FleetStatements(script),
        schedules=ScheduleStatements(script),
        stats=StatStatements(script),
        schema=settings.schema,
    )
