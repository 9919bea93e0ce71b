"""Takes due jobs from the database into the buffer, from which the workers take them. Woken by notifications, by the poll, and
by retries that come due. Fed by: the database. Feeds: work/.
"""
