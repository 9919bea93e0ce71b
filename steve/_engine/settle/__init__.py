"""Writes verdicts into the database, in groups; only for jobs that this process still holds. Fed by: work/, and by claim/ with
jobs that are given back. Feeds: events/, after the commit.
"""
