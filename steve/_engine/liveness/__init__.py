"""Shows that this process is alive, rescues the jobs of processes that are not, and frees jobs that this process holds by the
tables only. Feeds: events/.
"""
