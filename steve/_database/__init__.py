"""Everything about PostgreSQL, and the only SQL.

connections.py        all connections of a manager: callers borrow theirs, and each loop of the engine keeps one of its own
pool.py               the connections for callers
loop_connection.py    the connection of a loop, which is opened again when it breaks
connection.py         opens a connection and gives its session our settings
conninfo.py           what `db` may be, and the conninfo made from it
caller.py             what a caller's own connection may be, and how a statement is sent on it
portable.py           the statements for other drivers than psycopg 3
interrupt.py          cancels what runs on a caller's connection
watchdog.py           breaks connections that do not answer
backoff.py            how long a loop waits before it tries to connect again
sql/                  the statements, one in each file; fragments.py has the texts that several of them share
statements/           methods that send the statements and turn rows into values
execute.py            sends one statement; literals.py writes its arrays and COPY lines
notify_guard.py       does without notifications when PostgreSQL refuses them
migrations/           makes and changes the tables
grants.py             the rights that roles need on them
failures.py           what an error means for the code that sent the statement: wait, try again, or give up
"""
