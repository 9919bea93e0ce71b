"""Runs the jobs of the buffer. Fed by: claim/. Feeds: settle/, with verdicts.

pool.py        what a worker thread does next: read it first
turns.py       how workers go on without a loop, so that the interpreter can exit
worker.py      runs one job, from the buffer to its verdict; run.py calls the handler
handlers.py    which function runs the jobs of which type
completions.py run.complete() and run.transaction()
running.py     the jobs whose handlers have not returned; signals.py tells these handlers that the engine stops
quota.py       how many jobs may still begin

deadlines.py   the thread that watches all deadlines
limit.py       the timeout of one run; window.py raises TimeLimit into its handler; interrupts.py cancels its statements
stuck.py       handlers that do not come back, and what runs in their place
"""
