"""A process that fires schedules in a time of its own, which goes by faster than the real one: `python -m tests.chaos.ticker`.

The first line on stdin holds the options. It answers that it is ready, and with the number of jobs that it has created when its
hour is over.
"""

from __future__ import annotations

import json
import random
import sys
import time
from datetime import datetime, timedelta

from steve._database.connections import Connections
from steve._database.failures import DatabaseFailure
from steve._database.statements import statements_for
from steve._model.settings import Settings
from steve._schedules.database import DatabaseSchedules
from steve._schedules.firing import Firing

from .options import TickerOptions


def main() -> None:
    options = TickerOptions(**json.loads(sys.stdin.readline()))
    settings = Settings(schema=options.schema, create_timeout=1.0)
    connections = Connections(db=options.conninfo, listen_db=None, settings=settings)
    statements = statements_for(settings).schedules
    firing = Firing(database=DatabaseSchedules(connections=connections, statements=statements, notify=False), in_code=dict)
    print(json.dumps("ready"), flush=True)
    start, fired = datetime.fromisoformat(options.start), 0
    while True:
        now = start + timedelta(seconds=(time.time() - options.begun) * options.rate)
        try:
            turn = firing.turn(now)
        except DatabaseFailure:
            continue
        fired += turn.fired
        if now > start + timedelta(minutes=options.minutes, seconds=30) and not turn.left:
            break
        time.sleep(random.uniform(0.0, 10.0) / options.rate)
    connections.close()
    print(json.dumps(fired), flush=True)


if __name__ == "__main__":
    main()
