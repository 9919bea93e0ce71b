"""The tests of steve, and three programs: `python -m tests.benchmarks`, `tests.chaos` and `tests.mutants`."""
