"""Takes due jobs from the database into the buffer; claimer.py first. A claim is due after a notification, when a known job
comes due, or when the poll interval is over. Jobs that lie in the buffer for too long, or when the engine stops, are given
back to the database. Feeds: work/, with jobs; settle/, with the verdicts on jobs that are given back.
"""
