"""Calls the listeners, on one thread, in the order of the commits. Fed by: settle/; and by liveness/, when a rescued job has
failed."""
