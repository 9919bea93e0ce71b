"""The rules, pure: no I/O, no clock, no thread, no chance. What becomes of a job (outcome.py), what a claim asks for and brings
(claim.py, claimed.py), whether a process is alive (process.py), and what may be a setting, a name or JSON.
"""
