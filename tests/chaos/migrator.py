"""A process that migrates: `python -m tests.chaos.migrator`, made and told what to do by processes.py.

First line on stdin: the options; then the name of a schema a line, each answered with an error's text, or null.
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
