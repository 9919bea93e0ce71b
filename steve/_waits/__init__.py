"""Waits for jobs to end, in any process, whether its manager is started or not.

waits.py      Waits: wait, wait_all and future. Starts the thread when somebody waits: read it first
loop.py       the thread `steve-waits`: one for all waits of a manager, with one connection
book.py       what it waits for, and when it looks at which jobs
pace.py       how often it looks
futures.py    JobFuture: a concurrent.futures.Future that stands for a job
session.py    its connection: listens, announces, begins anew after a failure
cancels.py    cancels the jobs whose futures were given up
database.py   what the thread asks of the database

A process that runs jobs sends a notification with each settlement that ends jobs, but only while somebody waits: the thread
announces that (announce_waiter.sql), and settle/awaited.py in the engine hears of it. A notification is only a hint: it names
the jobs that have ended, or none if they are many. The thread looks at once at those of its own, with one statement for all.
Without a hint it looks from time to time, so a lost notification costs half a second at most.
"""
