"""Tells listeners, on one thread, in the order of the commits. Fed by: settle/, and liveness/ with jobs that a rescue
failed."""
