"""Writes verdicts into the database, in groups, for jobs that this process still holds. Fed by: work/ and claim/. Feeds:
events/, after the commit.

settler.py      the loop that writes: read it first
queue.py        the verdicts that wait
postponed.py    the verdicts that were tried and not written; aside.py: those whose jobs' rows are locked
completions.py  what becomes of jobs whose handlers called `run.complete()`
reactions.py    how the loop reacts to an error of the database
awaited.py      whether somebody waits for jobs to end, and is to be notified
commits.py      what follows a commit: events, and the next claim
database.py     what the settler asks of the database
"""
