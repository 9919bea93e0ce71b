"""What works between `start()` and `stop()`. wiring.py puts it together and says which thread feeds which; then, in the order
in which a job passes them:

    claim/       takes due jobs from the database into the buffer
    work/        runs them, and has a verdict made of each outcome
    settle/      writes the verdicts down, in groups
    events/      tells the listeners, after the commit
    liveness/    beats, and rescues the jobs of processes that died
    upkeep/      what the other stages share: threads, periodic duties, backpressure, outages, the watch over health

runner.py starts and stops engines for the manager. A new verdict is a case of `_model/outcome.py`; a new periodic duty is a
`duties()` that wiring.py gives to the scanner, if it asks the database, or to the periodic thread, if it never waits.
"""
