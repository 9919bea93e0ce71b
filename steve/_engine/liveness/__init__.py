"""Beats, so that other processes see that this one lives; takes the jobs of processes that died, by the rules of
`_model/process.py`; and frees jobs that the tables say this process runs, and that it does not run. Feeds: events/.
"""
