"""Sends heartbeats, so that other processes see that this one lives (heartbeat.py). Takes the jobs of processes that died, by
the rules of `_model/process.py` (rescue.py). Frees jobs that this process does not run, though the tables say so
(reconcile.py). liveness.py wires them. Feeds: events/.
"""
