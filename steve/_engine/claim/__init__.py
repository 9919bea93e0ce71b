"""Takes due jobs from the database into the buffer. A claim is due after a notification, when a known job comes due, or when
the poll interval is over. Jobs that lie in the buffer too long, or when the engine stops, are given back. Feeds: work/.
"""
