"""What the suite would notice: steve is broken on purpose, one small change at a time, and a named test must fail for each.
`python -m tests.mutants --help`, or `make mutants`.

Where to read: catalog.py says what a mutant is and holds them all; trial.py breaks a copy of steve/ and runs the test on it;
report.py shows what came of it. test_catalog.py, which `make test` runs, sees to it that every mutant still fits the code.

A mutant that survives is a hole in the suite: write the test that kills it, and name it here. A new one is an entry of MUTANTS:

    Mutant(
        "M17",
        "a crash is not counted",
        "manager/test_alive.py::test_a_job_that_kills_its_process_fails_and_its_neighbours_complete",
        Edit("sql/rescue_jobs.sql", "crashes = least(crashes + 1, attempts, 10000)", "crashes = crashes"),
    )
"""
