"""What callers ask for, in any process: a module for each verb. The module checks the arguments (enqueue.py those of create)
and sends a statement. A new verb is a new module, a method of client.py and one of manager.py, and a statement.
"""
