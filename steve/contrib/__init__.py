"""steve at home in frameworks, and seen from outside: a package or a module for each, which uses steve's public names only.
Nothing else in steve imports them.

_ending.py is what those that watch attempts have in common.
"""
