"""How fast steve is, next to pgbench on the same PostgreSQL in the same run: `python -m tests.benchmarks --help`.

Where to read: figures.py says what a figure is. Each group of them is a file: drain.py, growth.py, horizon.py, create.py,
pickup.py, resources.py; limits.py holds what they are compared with. They work on cluster.py (the PostgreSQL, schemas
and rows in it) through processes.py (workers and creators, each a process of its own: worker.py, creator.py, which note on
board.py what happened when), and ledger.py looks afterwards whether every job was done, once. report.py and plot.py show it.

A new figure is a function with the decorator `@figure`, in the file of its group:

    @figure("drain.3", "drain 100,000 jobs, 3 workers", {"jobs/s": Measure([at_least(0.7, of=BATCH)])})
    def three_workers(bench: Bench) -> Reading:
        return drain(bench, bench.jobs(100_000), workers=3)
"""
