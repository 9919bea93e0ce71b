"""The command line: `steve`, or `python -m steve`. It asks a JobManager and prints, with no SQL and no rules of its own.

program.py reads the arguments, calls the command and turns what it raises into an exit code. command.py is what a command works
with, output.py what it prints with, text.py how a text becomes harmless, arguments.py and filters.py what several commands
take. Each other file is a group of commands:

    jobs.py jobs_acting.py     what jobs there are, and what is done with them
    fleet.py schedules.py      how everything is; queues, processes, schedules
    tables.py                  migrate, grants, prune
    running.py                 run: the worker. The processes of `--processes` are kept alive by steve/supervisor.py
    demo.py completion.py      watch it work; completion for shells
"""

from steve.cli.program import main

__all__ = ["main"]
