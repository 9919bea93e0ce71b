"""What callers ask for, in any process. There is a module for each verb; it checks the arguments and sends a statement (for
create and create_many, enqueue.py checks and create.py sends). A new verb is a new module, a statement, a method of Client
(client.py) and a method of JobManager (manager.py).
"""
