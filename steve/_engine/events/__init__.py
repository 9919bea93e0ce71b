"""Calls the listeners, on one thread, in the order of the commits. Fed by: settle/, when a run begins and when an outcome
is committed; liveness/, when a rescued job has failed.

dispatcher.py          the thread that calls them: read it first
event.py               what a listener is told
listeners.py           the functions that were registered
calls.py               tells them of jobs that calls have cancelled
on_done.py             the functions given to create(on_done=)
health_listeners.py    the functions told of the manager's health, by upkeep/
stuck_listeners.py     the functions told of stuck handlers, by work/
"""
