"""Runs the jobs of the buffer; pool.py first. run.py calls the handler. Fed by: claim/. Feeds: settle/, with verdicts."""
