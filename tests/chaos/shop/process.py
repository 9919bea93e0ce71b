"""A process of the project: `python -m tests.chaos.shop.process`. ../processes.py starts and steers it.

It is a worker, `manage.py steve worker`, which takes and answers what worker.py does; or it enqueues tasks, as creator.py
creates jobs: each in a transaction on Django's connection, of which some are rolled back. When it has stopped, it answers how
many results have each status.
"""

from __future__ import annotations

import json
import os
import random
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import django
from django.conf import settings
from django.core.management import call_command
from django.db import transaction
from psycopg.conninfo import conninfo_to_dict

from tests.chaos.ledger import Ledger
from tests.chaos.options import CreatorOptions, WorkerOptions
from tests.chaos.stopping import stop

RESULT_SECONDS = 60.0
"""How long the tasks may take to be finished after the last one was enqueued."""

ROLLED_BACK = 0.1
"""The share of the transactions that are rolled back."""


def set_up(conninfo: str, schema: str) -> None:
    parts = conninfo_to_dict(conninfo)
    name, user, host, port = (str(parts.pop(word)) for word in ("dbname", "user", "host", "port"))
    database = {"ENGINE": "django.db.backends.postgresql", "NAME": name, "USER": user, "HOST": host, "PORT": port}
    settings.configure(
        USE_TZ=True,
        DATABASES={"default": {**database, "OPTIONS": parts}},
        INSTALLED_APPS=["steve.contrib.django", "tests.chaos.shop"],
        TASKS={"default": {"BACKEND": "steve.contrib.django.SteveBackend"}},
        STEVE={"schema": schema},
        LOGGING_CONFIG=None,
    )
    django.setup()


def work(options: WorkerOptions) -> None:
    from steve.contrib.django import manager
    from tests.chaos.shop import tasks

    ledger = tasks.ledger = Ledger(Path(options.ledger) / f"worker-{os.getpid()}.jsonl")

    @manager.on_done(None)
    def _(job: Any) -> None:
        ledger.note("listener", k=job.payload["kwargs"]["k"], status=str(job.status), pid=os.getpid())

    def listen() -> None:
        sys.stdin.readline()
        stop(manager)

    threading.Thread(target=listen, daemon=True).start()
    say({"started": os.getpid()})
    try:
        call_command("steve", "worker", "--workers", str(options.workers))
    except SystemExit as end:
        say({"complete": end.code == 0, "in_doubt": False, "left": {}})


def create(options: CreatorOptions) -> None:
    from tests.chaos.shop.tasks import ship

    ledger = Ledger(Path(options.ledger) / f"creator-{os.getpid()}.jsonl")
    stopping = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.readline(), stopping.set()), daemon=True).start()
    chance = random.Random(options.seed)
    results = []
    while not stopping.is_set():
        k = f"{options.name}-{len(results)}"
        with transaction.atomic():
            result = ship.enqueue(k=k, ms=chance.uniform(*options.ms))
            if is_undone := chance.random() < ROLLED_BACK:
                transaction.set_rollback(True)
        ledger.note("enq_fail" if is_undone else "enq_ok", k=k)
        results += [] if is_undone else [result]
        stopping.wait(chance.expovariate(1 / options.every))
    deadline = time.monotonic() + RESULT_SECONDS * options.patience
    for result in results:
        while not result.is_finished and time.monotonic() < deadline:
            time.sleep(0.05)
            result.refresh()
    say(Counter(str(result.status) for result in results))


def say(answer: object) -> None:
    print(json.dumps(answer), flush=True)


def main() -> None:
    given = json.loads(sys.stdin.readline())
    options = CreatorOptions(**given) if "every" in given else WorkerOptions(**given)
    set_up(options.conninfo, options.schema)
    work(options) if isinstance(options, WorkerOptions) else create(options)


if __name__ == "__main__":
    main()
