"""Keeps what runs leave behind, how far they are and what they log, and writes it into tables of their own.

run.progress() and a captured run put it into memory (records.py, attempt_log.py); nothing waits for the database there. Two
threads write it (recorder.py): the scanner, for all runs of the process in one statement every two seconds or so; and the
settler, what is left of the runs that have ended, before it writes their outcomes. Fed by: work/. Feeds: events/, which tells
listeners of a job's progress.
"""
