"""What exists once in a process, even with several managers, and some small tools.

log.py             the logger
capture.py         the handler of the logging module that finds the run a line belongs to
chance.py          the source of random numbers
exit.py            the hook that ends engines before the interpreter exits
fork.py            the hook that resets managers in the child of a fork
memory.py          how much memory this process has
copy_on_write.py   tool: a value that many threads read and few replace
guard.py           tool: a safe call of a function of the user's
hooks.py           tool: context managers of the user's around such a call
socket_wait.py     tool: a wait for a socket that another thread can end
subscription.py    tool: what takes away again what the user has registered
weak_call.py       tool: a call that does not keep its object alive
"""
