"""Calls the listeners, on one thread, in the order of the commits; dispatcher.py first. Fed by: settle/, and by liveness/ when
a rescued job has failed.
"""
