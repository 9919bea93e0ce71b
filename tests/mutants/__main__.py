"""The command line, `python -m tests.mutants`: tries the chosen mutants and writes the table."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from steve import embedded
from tests.page import keep

from .catalog import MUTANTS, Misfit, chosen
from .report import line, markdown
from .trial import Fate, Trial, check_sound, take


def main() -> int:
    options = _options()
    if options.list:
        for mutant in MUTANTS:
            print(f"{mutant.id:5}{mutant.breaks}: {mutant.test}")
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that neither the server nor the tests outlive us
    trials: list[Trial] = []
    try:
        mutants = chosen([id for ids in options.only for id in ids.split(",") if id])
        with _database_url() as url:
            if wrong := check_sound(mutants, url, options.limit):
                print(f"{wrong}\n\nThese tests must pass on steve as it is, before anything is broken.", file=sys.stderr)
                return 2
            for mutant in mutants:
                trials.append(take(mutant, url, options.limit))
                print(line(trials[-1]), flush=True)
    except (LookupError, Misfit) as error:
        print(error.args[0], file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted")
        return 130
    if options.markdown:
        keep(options.markdown, "mutants", markdown(trials))
    alive = [trial.mutant.id for trial in trials if trial.fate is not Fate.KILLED]
    print(f"\n{len(trials) - len(alive)} of {len(trials)} killed" + (f"; not {', '.join(alive)}" if alive else ""))
    return 1 if alive else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--only", action="append", default=[], metavar="ID[,ID]", help="these mutants: M1,M4")
    parser.add_argument("--limit", type=float, default=300.0, metavar="S", help="seconds that a test may take")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table into this page: docs/reliability.md")
    parser.add_argument("--list", action="store_true", help="list the mutants and exit")
    return parser.parse_args()


@contextmanager
def _database_url() -> Iterator[str]:
    """The suite's database: the one at STEVE_TEST_DATABASE_URL, else an embedded one, which then serves all mutants."""
    url = os.environ.get("STEVE_TEST_DATABASE_URL")
    if url:
        yield url
    else:
        with embedded.server() as server:
            yield server.conninfo


if __name__ == "__main__":
    sys.exit(main())
