"""One of each in a process, even with several managers: the log (log.py), random numbers (chance.py), the hook at the exit
(exit.py) and the hook in the child of a fork (fork.py). And two tools: copy_on_write.py and guard.py.
"""
