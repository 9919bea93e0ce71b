"""steve's statements, in a class for each subject. A method sends the file of sql/ that has its name, and turns the rows into
values. It takes the connection to use, and neither begins nor ends the transaction that is open there.
"""

from __future__ import annotations

from typing import NamedTuple

from steve._database.statements.checks import CheckStatements
from steve._database.statements.claims import ClaimStatements
from steve._database.statements.jobs import JobStatements
from steve._database.statements.notifications import NotificationStatements
from steve._database.statements.processes import ProcessStatements
from steve._database.statements.script import Script
from steve._database.statements.settlement import SettlementStatements
from steve._model.settings import Settings


class Statements(NamedTuple):
    """For the tables in one schema."""

    jobs: JobStatements
    claims: ClaimStatements
    settlement: SettlementStatements
    processes: ProcessStatements
    notifications: NotificationStatements
    checks: CheckStatements
    schema: str


def statements_for(settings: Settings) -> Statements:
    script = Script(settings.schema, settings.tuning)
    return Statements(
        jobs=JobStatements(script),
        claims=ClaimStatements(script, settings.queues),
        settlement=SettlementStatements(script),
        processes=ProcessStatements(script),
        notifications=NotificationStatements(script),
        checks=CheckStatements(script),
        schema=settings.schema,
    )
