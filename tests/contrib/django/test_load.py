"""A worker under load keeps its connections few and its memory flat. STEVE_DJANGO_JOBS=50000: as many jobs; otherwise 600."""

import os
import time

import psutil
import pytest
from psycopg.conninfo import make_conninfo

from steve import embedded
from tests.contrib.django.projects import Project, project
from tests.ports import free_port

JOBS = int(os.environ.get("STEVE_DJANGO_JOBS", "600"))
WORKERS = 8
CONFIGURATIONS = {
    "CONN_MAX_AGE=0": {"CONN_MAX_AGE": 0},
    "CONN_MAX_AGE=60": {"CONN_MAX_AGE": 60},
    "pool": {"OPTIONS": {"pool": {"min_size": 2, "max_size": WORKERS + 1}}},
}


def insert_jobs(shop: Project) -> None:
    shop.execute("insert into shop_order (id, name, shipped) values (1, 'tea', 0)")
    shop.execute(
        "insert into steve.job (type, payload) select 'look', jsonb_build_object('order', 1) "
        f"from generate_series(1, {JOBS}); analyze steve.job"
    )


def connections_of(process: psutil.Process, port: int) -> int:
    """How many this process has to the server, by its sockets: the server counts one that is closed until its backend has
    ended, which takes a while on a busy machine."""
    sockets = process.net_connections("tcp")
    return sum(bool(one.raddr) and one.raddr.port == port and one.status == psutil.CONN_ESTABLISHED for one in sockets)


@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("database", CONFIGURATIONS.values(), ids=CONFIGURATIONS)
def test_a_worker_under_load_has_few_connections_and_does_not_grow(database: dict[str, object]) -> None:
    port = free_port()
    with (
        embedded.server(port=str(port), listen_addresses="127.0.0.1") as server,
        project(make_conninfo(server.conninfo, host="127.0.0.1"), settings={"databases": {"default": database}}) as shop,
    ):
        insert_jobs(shop)
        began = time.monotonic()
        worker = shop.begin("manage.py", "steve", "worker", "--burst", "--workers", str(WORKERS))
        process = psutil.Process(worker.pid)
        most, memory = 0, []
        while worker.poll() is None:
            ((done,),) = shop.query("select count(*) from steve.job where status = 'completed'")
            try:
                most = max(most, connections_of(process, port))
                memory.append((done / JOBS, process.memory_info().rss / 2**20))
            except psutil.NoSuchProcess:
                break
            time.sleep(0.05 + JOBS / 50_000)
        seconds = time.monotonic() - began
        assert worker.wait(30) == 0, shop.output(worker)
        output = shop.output(worker)
        assert shop.query("select count(*) from steve.job where status = 'completed' and attempts = 1") == [(JOBS,)], output
        assert 0 < most <= WORKERS + 6
        assert "already closed" not in output
        assert "Traceback" not in output
        early = [mib for share, mib in memory if 0.1 < share < 0.5] or [memory[-1][1]]
        late = [mib for share, mib in memory if share >= 0.5] or early
        print(f"{JOBS} jobs in {seconds:.1f} s, at most {most} connections, {max(early):.0f} MiB, later {max(late):.0f} MiB")
        assert max(late) < max(early) * 1.1 + 5
