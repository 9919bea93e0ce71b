"""Interrupts jobs at the edge: TimeLimit is set at the moment when the handler returns, thousands of times.

edge.py         the jobs, what may become of them, and the count of what went wrong
__main__.py     `make hammer`: 10,000 jobs, about a minute
test_edge.py    the same with fewer jobs
"""
