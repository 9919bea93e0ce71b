"""Everything about PostgreSQL, and the only SQL.

    connections.py    all connections of a manager: those that callers borrow (pool.py), and one for each loop of the engine,
    which
                      opens it again when it breaks (loop_connection.py)
    statements/       sends the statements of sql/, one a file, and turns rows into values
    migrations/       makes and changes the tables; grants.py: the rights that roles need
    failures.py       what an error means for the code that sent the statement: wait, try again, give up
"""
