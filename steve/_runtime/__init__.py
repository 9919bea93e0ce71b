"""One of each in a process, even with several managers: the log (log.py), random numbers (chance.py), the hook at the exit
(exit.py) and the hook in the child of a fork (fork.py).
"""
