"""A process that migrates: `python -m tests.chaos.migrator`. processes.py starts and steers it.

The first line on stdin holds the options. Each further line names a schema to migrate, and the answer is the text of an error,
or null.
"""

from __future__ import annotations

import json
import sys

from steve import JobManager

from .options import MigratorOptions


def main() -> None:
    options = MigratorOptions(**json.loads(sys.stdin.readline()))
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        manager = JobManager(options.conninfo, schema=line.strip())
        try:
            manager.migrate()
            error = None
        except Exception as raised:
            error = f"{type(raised).__name__}: {raised}"
        print(json.dumps(error), flush=True)


if __name__ == "__main__":
    main()
