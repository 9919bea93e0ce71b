"""The tests of steve, and its benchmarks (`python -m tests.benchmarks`)."""
