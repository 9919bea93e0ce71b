"""Calls the listeners, on one thread, in the order of the commits; dispatcher.py first. Fed by: settle/, when a run begins or
an outcome is committed; liveness/, when a rescued job has failed.
"""
