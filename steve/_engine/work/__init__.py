"""Runs the jobs of the buffer: calls the handler, and has `_model/outcome.py` judge what it did. Fed by: claim/. Feeds:
settle/."""
