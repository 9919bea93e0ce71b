"""A real PgBouncer in transaction mode, for tests: each transaction may get another session."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

from tests.ports import free_port

PGBOUNCER = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
"""The path of the program; None: it is not installed. Debian has it in the package `pgbouncer`."""

SESSIONS = 2
"""How many server sessions all clients share."""

START_SECONDS = 30.0
"""How long PgBouncer may take until it accepts connections."""


@contextmanager
def bouncer(conninfo: str) -> Iterator[int]:
    """Run a PgBouncer in front of that server. Yields its port on 127.0.0.1, where any user may connect."""
    with psycopg.connect(conninfo) as connection:
        info = connection.info
        server = {"host": info.host, "port": info.port, "user": info.user, "dbname": info.dbname}
        if info.password:
            server["password"] = info.password
    port = free_port()
    folder = Path(tempfile.mkdtemp(prefix="steve-pgbouncer-"))
    folder.chmod(0o755)
    config = folder / "pgbouncer.ini"
    config.write_text(
        f"[databases]\n* = {make_conninfo(**server)}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n"
        f"pool_mode = transaction\ndefault_pool_size = {SESSIONS}\n"
    )
    config.chmod(0o644)
    command = [str(PGBOUNCER), "-q", str(config)]
    if os.getuid() == 0:  # PgBouncer refuses to run as root
        command[1:1] = ["-u", "nobody"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(make_conninfo(host="127.0.0.1", port=port, dbname="any", user="anybody"))
        yield port
    finally:
        process.terminate()
        process.wait(60)
        shutil.rmtree(folder)


def _wait_for(conninfo: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            return psycopg.connect(conninfo).close()
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
