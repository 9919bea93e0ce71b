"""What callers ask for, in any process.

client.py      Client: a method for each thing that callers ask for; migrate and the checks of check_health() too
enqueue.py     checks the arguments of create and create_many, and makes of them the jobs to insert
options.py     checks what few jobs have: a delay, a key, tags, metadata, an expiry, a timeout
create.py      inserts these jobs. The workers are notified by an INSERT; when many threads create at once, coalescer.py
               decides which INSERT notifies for all
unique.py      inserts jobs that have a key, or finds or replaces the job that has it already
lookup.py      find, history and fetch_all: checks the arguments
control.py     cancel, retry, reschedule, set_priority, delete: changes one job, or says why it cannot
bulk.py        cancel_all, retry_all, delete_all: goes through the table in batches
audit.py       acting_as: writes who changes what
fleet.py       processes and why: looks at the fleet, and puts the answer together
prune.py       prune: checks the age and goes through the table in batches
calls.py       sends a statement on a connection for callers, and turns failures into the errors that users know

A new verb needs a module for its arguments, a statement, a method of Client and a method of JobManager (manager.py).
"""
