"""How fast steve is, next to pgbench on the same PostgreSQL in the same run: `python -m tests.benchmarks --help`.

Where to read: figures.py says what a figure is. Each group of figures is a file: drain.py, growth.py, horizon.py, create.py,
pickup.py, resources.py. limits.py holds what they are compared with. cluster.py is the PostgreSQL, with the schemas and rows in
it. processes.py starts workers and creators, each a process of its own (worker.py, creator.py), which note on board.py what
happened when. ledger.py checks afterwards that every job was done once. report.py and plot.py show the results.

peers/ measures other PostgreSQL job queues on the same PostgreSQL. `make bench-peers` installs into `.peers/` those that can
run on this machine. In each repetition it takes steve's drains with 2, 10 and 50 workers, which should be ahead of
graphile-worker and pg-boss, and then every peer at its best settings: its drain, its pick-up, its create. `--only` chooses as
always (`make bench-peers ARGS="--only drain.10,peer.pgqueuer"`). Without `--peers` or their names the peers are not measured.

A new figure is a function with the decorator `@figure`, in the file of its group:

    @figure("drain.3", "drain 100,000 jobs, 3 workers", {"jobs/s": Measure([at_least(0.7, of=BATCH)])})
    def three_workers(bench: Bench) -> Reading:
        return drain(bench, bench.jobs(100_000), workers=3)
"""
