"""What `stats()` shows of the jobs that ended: counted in memory, written into the table `stat`, merged there. Fed by: settle/
and liveness/, after the commit.

figures.py    counts
writer.py     writes what was counted, every ten seconds and when the engine ends
merging.py    merges what all processes have written, and deletes what is old: a duty of the fleet
latency.py    tells the listeners of `on_queue_latency`
"""
