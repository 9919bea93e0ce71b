"""Everything about PostgreSQL, and the only SQL.

connections.py        all connections of a manager: callers borrow theirs (pool.py), each thread of the engine keeps its own
loop_connection.py    such a connection that is kept; it is opened again when it breaks
sql/                  the statements, one in each file
statements/           methods that send them and turn rows into values
migrations/           makes and changes the tables
grants.py             the rights that roles need on them
failures.py           what an error means for the code that sent the statement: wait, try again, or give up
"""
