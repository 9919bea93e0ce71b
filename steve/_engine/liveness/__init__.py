"""Beats, so that other processes see that this one lives (heartbeat.py). Takes the jobs of processes that died, by the rules
of `_model/process.py` (rescue.py). Gives up jobs that the tables say this process runs, but that it does not run
(reconcile.py). Feeds: events/.
"""
