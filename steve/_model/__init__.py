"""The rules, pure: no I/O, no clock, no thread, no random numbers.

    outcome.py     what a handler did (an outcome), and what therefore becomes of its job (a verdict): retry, fail, complete ...
    process.py     whether another process is alive, suspect, stalled or dead
    claim.py       values: what a claim asks for and what it brings; claimed.py: one job as it was claimed
    settings.py    the keywords of JobManager and their checks; tuning.py: the engine's own numbers
    names.py       what may be the name of a schema, a type or a queue; json.py: what may be a payload or a result
"""
