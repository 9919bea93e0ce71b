"""Runs the jobs of the buffer: calls the handler, judges the outcome. Fed by: claim/. Feeds: settle/, with verdicts."""
