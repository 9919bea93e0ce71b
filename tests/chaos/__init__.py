"""The chaos breaks everything around steve, on purpose and under load, and checks that no job is lost: `make chaos`, or
`python -m tests.chaos --help`.

Where to read: faults.py says what a fault is, and starts, harms and ends the processes. Each group of faults is a file:
server.py, failover.py, auto_failover.py, deaths.py, cuts.py, network.py, limits.py, notify.py, schemas.py, rollout.py,
skew.py, forks.py, clocks.py, control.py, states.py, tables.py, soak.py, unique.py, pauses.py, frameworks.py (with
the project in shop/), misuse.py, bad.py (with misdeeds.py).

Real processes work, create and migrate: worker.py, creator.py and migrator.py. processes.py starts and steers them, and
warden.py ends what is left of them if the driver dies. They use a PostgreSQL of their own (cluster.py), some through a proxy
that cuts connections at a chosen statement (proxy.py). They write into the files of ledger.py what happened. checker.py
compares these files with the tables, and report.py shows the result. Only the checker has tests of its own, which `make test`
runs.

A new fault is a function with the decorator `@fault`, in the file of its group:

    @fault("F3", "70 % of the sessions terminated", trial="a storm", short=20, long=120, expects="no process exits")
    def terminate_storm(site: Site) -> None:
        site.work(2)                 # two worker processes
        site.create(threads=3)       # and one that creates
        for _ in site.each_trial():
            with site.broken("terminate"):
                site.cluster.terminate(site.application, 0.7)
"""
