"""What works between `start()` and `stop()`. wiring.py puts an engine together and says which thread feeds which. A job passes
four stages:

    claim/       decides when and how many due jobs to take from the database, and keeps them in a buffer
    work/        takes jobs from the buffer and calls their handlers; `_model/outcome.py` makes a verdict of each outcome
    settle/      writes the verdicts into the database, in groups
    events/      calls the listeners, after the commit

Beside the stages:

    liveness/    heartbeats, and the rescue of jobs whose process died
    upkeep/      what all the others share: supervised threads, periodic duties, backpressure, outages, the watch over health

runner.py starts and stops engines for the manager; ending.py says how an engine ends.

A new kind of verdict is a case in `_model/outcome.py`. A new periodic duty is a class with a method `duties()`, in the folder
that it is about, or in upkeep/ if it is about none. wiring.py gives its duties to the scanner thread if they use the database,
which may take long, and to the maintenance thread if they never wait for anything.
"""
