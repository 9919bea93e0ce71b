"""Runs jobs on the calling thread, for `steve.testing`, which is the only caller. Nothing else of the engine imports this.

inline.py   what `steve.testing` asks: read it first
drain.py    claims, runs and settles the due jobs, one after the other, with the parts that the threads of an engine use
alone.py    calls one handler, without a database
process.py  the process of a drain, as others see it
place.py    where that happens: on connections of ours, or in the transaction of a caller
"""
