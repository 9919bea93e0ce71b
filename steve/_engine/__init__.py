"""What works between `start()` and `stop()`. wiring.py puts an engine together and says which thread feeds which. A job passes
four stages:

    claim/       decides when and how many due jobs to take from the database, and keeps them in a buffer
    work/        takes jobs from the buffer and calls their handlers; each outcome becomes a verdict, by `_model/outcome.py`
    settle/      writes the verdicts into the database, in groups
    events/      calls the listeners, after the commit

Beside them:

    liveness/    heartbeats, and the rescue of jobs whose process died
    upkeep/      what all of these share: supervised threads, periodic duties, backpressure, outages, the watch over health

runner.py starts and stops engines for the manager; ending.py says how an engine ends.

A new kind of verdict is a case in `_model/outcome.py`. A new periodic duty is a module in the folder that it is about, with a
method `duties()`; wiring.py gives its duties to one of two threads (upkeep/periodic.py): the scanner, for duties that ask the
database, or the maintenance thread, for duties that never wait.
"""
