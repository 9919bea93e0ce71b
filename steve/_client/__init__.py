"""What callers ask, in any process: a module for each verb. client.py has them all; a new verb is a new module and a method."""
