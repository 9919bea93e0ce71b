"""Writes verdicts into the database, in groups, for jobs that this process still holds; settler.py first. Fed by: work/ and
claim/. Feeds: events/, after the commit.
"""
