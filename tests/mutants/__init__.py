"""What the suite notices: steve is broken on purpose, in one small way at a time, and a named test must fail for each.
`python -m tests.mutants --help`, or `make mutants`.

Where to read: catalog.py says what a mutant is and lists them all. trial.py breaks a copy of steve/ and runs the test on it.
parallel.py tries several mutants at a time. report.py shows the results. test_catalog.py, which `make test` runs, checks that
every mutant still fits the code.

A mutant that survives shows a gap in the suite: write the test that kills it, and name that test in the catalog. A new mutant
is an entry of MUTANTS:

    Mutant(
        "M17",
        "a crash is not counted",
        "behaviour/test_alive.py::test_the_job_of_a_killed_process_runs_elsewhere_long_before_its_lease_is_over",
        Edit("_database/sql/rescue_jobs.sql", "crashes = least(crashes + 1, attempts, 10000)", "crashes = crashes"),
    )
"""
