"""The rules. They are pure: no I/O, no clock, no thread, no random numbers.

outcome.py     what a handler did (the outcome), and what becomes of the job (the verdict): retry, fail, complete
process.py     whether another process is alive, suspect (its session is gone), dead (suspect for some seconds, and silent)
               or stalled (silent for its whole lease)
presence.py    what a process says of itself with each heartbeat, as text and back
why/           what keeps a job from running
claim.py       what a claim asks for, and what it brings
claimed.py     a job as it was claimed, and a job whose outcome was written
terms.py       what is said about a type of jobs when its handler is registered, and its checks
settings.py    the keywords of JobManager, and their checks
pauses.py      which jobs a pause holds back
run_limits.py  after how much work run() ends by itself
tuning.py      the engine's own numbers, which only tests change
names.py       which names a schema, a role, a type or a queue may have
arguments.py   the arguments of a task as a payload, and back; codec.py does so for one value, by its annotation
json.py        which values a payload or a result may hold
"""
