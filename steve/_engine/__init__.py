"""What works between `start()` and `stop()`. wiring.py puts an engine together and says which thread feeds which. A job passes
four stages:

    claim/       decides when and how many due jobs to take from the database, and keeps them in a buffer
    work/        takes jobs from the buffer and calls their handlers; `_model/outcome.py` turns each outcome into a verdict
    settle/      writes the verdicts into the database, in groups
    events/      calls the listeners, after the commit

Beside the stages:

    pools/       claims and workers side by side, each with some of the queues: which there are, and how they change
    records/     keeps and writes what runs leave behind: progress and log lines
    figures/     counts what became of jobs, for `stats()`
    liveness/    heartbeats, and the rescue of jobs whose process died
    upkeep/      what all the others share: supervised threads, periodic duties, backpressure, outages, the watch over health
    inline/      runs jobs on the calling thread, with the parts of the stages, for `steve.testing` alone

The manager reaches the engine through six modules: runner.py starts and stops engines, scaling.py changes their pools,
signal_run.py is `run()`, registry.py holds the handlers and listeners, events/calls.py tells listeners what calls did, and
inline/inline.py is for tests.
engine.py is one started engine, ending.py says how it ends, and health.py judges whether it works.
runner.py imports the engine when a manager starts, so that programs that only create jobs or ask for them begin sooner.

A new kind of verdict is a case in `_model/outcome.py`. A new periodic duty is a class with a method `duties()`, in the folder
that it serves, or in upkeep/ if it serves none. wiring.py connects it: to the scanner, the thread for duties that ask the
database, or to the maintenance thread, for duties that wait for nothing.
"""
