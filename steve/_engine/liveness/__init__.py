"""Sends heartbeats, so that other processes see that this one lives (heartbeat.py). Rescues the jobs of processes that
`_model/process.py` judges dead or stalled (rescue.py). Frees jobs that the tables say this process runs, though it does not
(reconcile.py). liveness.py wires the three. Finds jobs that somebody asked to cancel, if the notification was lost
(cancels.py). Describes this process for its row (presence.py), and notes which types it serves (served.py). Feeds: events/,
with the jobs that failed in this way."""
