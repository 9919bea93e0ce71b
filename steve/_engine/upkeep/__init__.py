"""What the stages share: supervised threads (threads.py), the hooks around them (thread_hooks.py), threads in the place of
stuck ones (slot.py), periodic duties (periodic.py), backpressure, by which a full queue holds up the threads that fill it
(backpressure.py), and the log of outages (outage.py). Also the duties that belong to no stage: replacing dead workers
(replacement.py), abandoning statements while the engine stops (abandonment.py), watching the engine's own health
(health_watch.py), pruning jobs and the audit (pruning.py), and deleting windows that are over (windows.py). scheduler.py is the
thread that fires schedules.
"""
