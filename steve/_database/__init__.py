"""Everything about PostgreSQL, and the only SQL.

connections.py        all connections of a manager: callers borrow theirs (pool.py), each loop of the engine keeps its own
loop_connection.py    such a connection that is kept; it is opened again when it breaks
connection.py         how a connection is opened, and which settings its session gets; conninfo.py: what `db` may be
watchdog.py           breaks connections that do not answer; backoff.py: how long a loop waits until it tries again
sql/                  the statements, one in each file
statements/           methods that send them and turn rows into values; execute.py and literals.py send one statement
notify_guard.py       what happens when PostgreSQL takes no notification
migrations/           makes and changes the tables
grants.py             the rights that roles need on them
failures.py           what an error means for the code that sent the statement: wait, try again, or give up
"""
