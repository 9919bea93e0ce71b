"""The rules, pure: no I/O, no clock, no thread, no random numbers.

outcome.py     what a handler did (its outcome), and what becomes of the job: retry, fail, complete (the verdict)
process.py     whether another process is alive, suspect (its session is gone), stalled (silent) or dead
claim.py       what a claim asks for, and what it brings
claimed.py     one job as it was claimed, and one whose outcome was written
settings.py    the keywords of JobManager, and their checks
tuning.py      the engine's own numbers, which only tests change
names.py       what may be the name of a schema, a type or a queue
json.py        what may be a payload or a result
"""
