"""A new database for one peer, on the cluster of the run. It is dropped afterwards."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from ..cluster import Cluster


class Database:
    def __init__(self, cluster: Cluster, name: str) -> None:
        info = cluster.connection.info
        self.environ = {
            "PGHOST": info.host,
            "PGPORT": str(info.port),
            "PGUSER": info.user,
            "PGPASSWORD": info.password,
            "PGDATABASE": name,
        }
        """Variables for the peer's processes. All the libraries know libpq's variables, whatever form their URLs have."""
        self.connection = psycopg.connect(make_conninfo(cluster.conninfo, dbname=name), autocommit=True)

    def freshen(self) -> None:
        """The same as Cluster.freshen."""
        self.connection.execute("vacuum (analyze)")
        self.connection.execute("checkpoint")

    def count(self, statement: str) -> int:
        row = self.connection.execute(statement.encode()).fetchone()
        assert row is not None
        return int(row[0])


@contextmanager
def created(cluster: Cluster, peer: str) -> Iterator[Database]:
    name = f"steve_bench_{os.getpid()}_{peer}"
    identifier = sql.Identifier(name)
    cluster.connection.execute(sql.SQL("create database {}").format(identifier))
    try:
        database = Database(cluster, name)
        try:
            yield database
        finally:
            database.connection.close()
    finally:
        cluster.connection.execute(sql.SQL("drop database {} with (force)").format(identifier))
