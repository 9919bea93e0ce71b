"""Writes verdicts down, fenced by the lease, in groups. Fed by: work/, and claim/ with jobs that are given back. Feeds:
events/, after the commit.
"""
