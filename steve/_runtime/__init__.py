"""What a process has one of, however many managers it has: its log, its random numbers (chance.py), the hook at its exit
(exit.py), and what happens in the child of a fork (fork.py).
"""
