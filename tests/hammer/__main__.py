"""The command line, `python -m tests.hammer`: interrupts jobs at the edge and says what went wrong."""

from __future__ import annotations

import argparse
import os
import sys
import time
from contextlib import nullcontext
from uuid import uuid4

import psycopg

from steve import embedded

from .edge import Hammer


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.hammer", description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000, metavar="N", help="how many (10000)")
    parser.add_argument("--workers", type=int, default=4, metavar="N", help="how many workers run them (4)")
    options = parser.parse_args()
    url = os.environ.get("STEVE_TEST_DATABASE_URL")
    schema = f"hammer_{uuid4().hex[:12]}"
    with nullcontext() if url else embedded.server() as server:
        db = url or server.conninfo
        began = time.monotonic()
        hammer = Hammer(db, schema, options.jobs, workers=options.workers)
        hammer.run()
        with psycopg.connect(db, autocommit=True) as connection:
            connection.execute(f'drop schema "{schema}" cascade'.encode())
    print(f"Python {sys.version.split()[0]}: {options.jobs} jobs in {time.monotonic() - began:.0f} s")
    for end, count in sorted(hammer.ends.items()):
        print(f"  {end:40}{count:7}")
    for flaw, count in sorted(hammer.flaws.items()):
        print(f"  {flaw:40}{count:7}")
    for example in hammer.examples[:5]:
        print(example)
    return 0 if hammer.is_sound() else 1


if __name__ == "__main__":
    sys.exit(main())
