"""Sends heartbeats, so that other processes see that this one lives (heartbeat.py). Rescues the jobs of processes that
`_model/process.py` judges dead or stalled (rescue.py). Frees jobs that the tables say this process runs, though it does not
(reconcile.py). liveness.py wires the three. Feeds: events/, with the jobs that failed in this way.
"""
