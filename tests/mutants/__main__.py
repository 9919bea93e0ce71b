"""The command line, `python -m tests.mutants`: tries the chosen mutants and writes the table."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

from tests.child import ROOT
from tests.page import keep

from .catalog import MUTANTS, Misfit, Mutant, chosen
from .parallel import sites
from .report import line, markdown
from .trial import Fate, Trial


def main() -> int:
    options = _options()
    if options.list:
        for mutant in MUTANTS:
            print(f"{mutant.id:5}{mutant.breaks}: {mutant.test}")
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that neither the server nor the tests outlive us
    trials: dict[Mutant, Trial] = {}
    try:
        mutants = chosen([id for ids in options.only for id in ids.split(",") if id])
        for mutant in mutants:
            mutant.edited(ROOT / "steve")  # so that a misfit shows now, and not after minutes
        with sites(min(options.processes, len(mutants)), options.limit) as at:
            if wrong := at.check_sound(mutants):
                print(f"{wrong}\n\nThese tests must pass on steve as it is, before anything is broken.", file=sys.stderr)
                return 2
            for trial in at.take(mutants):
                trials[trial.mutant] = trial
                print(line(trial), flush=True)
    except (LookupError, Misfit) as error:
        print(error.args[0], file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted")
        return 130
    if options.markdown:
        keep(options.markdown, "mutants", markdown([trials[mutant] for mutant in mutants]))
    alive = [trial.mutant.id for trial in trials.values() if trial.fate is not Fate.KILLED]
    print(f"\n{len(trials) - len(alive)} of {len(trials)} killed" + (f"; not {', '.join(alive)}" if alive else ""))
    return 1 if alive else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--only", action="append", default=[], metavar="ID[,ID]", help="these mutants: M1,M4")
    parser.add_argument("--limit", type=float, default=300.0, metavar="S", help="seconds that a test may take")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table into this page: docs/reliability.md")
    parser.add_argument("--list", action="store_true", help="list the mutants and exit")
    parser.add_argument(
        "--processes", type=int, default=os.cpu_count(), metavar="N", help="try so many at a time (one for each processor)"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
