"""Takes due jobs from the database into the buffer. A claim is due after a notification, when a known job comes due, or when
the poll interval is over. The buffer gives jobs back to the database when they lie in it for too long, and when the engine
stops. Feeds: work/, with jobs; settle/, with the verdict "not begun" on jobs that are given back.

claimer.py        makes the claims: read it first
schedule.py       when the next claim is due; notifier.py wakes it
sizer.py          how much a claim asks for
watermarks.py     where a claim looks; full_scans.py looks beside the claims, when that would take a claim too long
buffer.py         the jobs that were claimed and have not begun
pauses.py         what is paused, so that no claim takes it and no worker begins it
expiry.py         cancels jobs that have not begun in time and that nobody claims
claim_lock.py     the lock that lets one thread claim at a time
in_doubt.py       remembers that the reply to a claim was lost; lost_replies.py asks what that claim took
port.py           what all this asks of the database, and database.py, which asks it
"""
