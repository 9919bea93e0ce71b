"""What keeps a job from running: facts.py says what is known, and the rules make reasons of it. Pure.

A rule takes the facts and yields reasons. rules.py lists the rules by the job's status: pending.py, running.py and ended.py
hold them, and text.py the words that they share. A new cause is a new rule in one of these lists, and a field of the facts if
it needs more than is known so far.
"""
