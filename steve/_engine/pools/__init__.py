"""Pools of workers, side by side in one engine. Each has what a job passes before its handler runs: a claimer with a buffer and
a connection of its own (claim/), and workers (work/). Settler, dispatcher, heartbeat, notifier and the duties are there once.

pools.py          those of an engine: which there are, how they change while the engine runs, and how they end
pool.py           one of them
wiring.py         puts one together
duties.py         what the scanner and the maintenance thread do for all of them

A manager that was started with a number of workers has one pool. A quiet one has none.
"""
