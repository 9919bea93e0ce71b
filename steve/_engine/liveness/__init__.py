"""Sends heartbeats, so that other processes see that this one lives (heartbeat.py). Rescues the jobs of processes that are dead
or stalled by the rules of `_model/process.py` (rescue.py). Frees jobs that this process does not run, though the tables say
that it does (reconcile.py). liveness.py wires the three. Feeds: events/, with the jobs that failed in this way.
"""
