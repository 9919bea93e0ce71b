"""Ports for servers that cannot choose one themselves."""

from __future__ import annotations

import random
import socket


def free_port() -> int:
    """A TCP port on which nothing listens. It is none of those that the system gives to whoever asks for any: another program
    might get it before the server takes it, or while the server is down."""
    chance = random.SystemRandom()  # a generator with a seed might give several processes the same one
    while True:
        port = chance.randrange(12_000, 32_000)
        with socket.socket() as one:
            try:
                one.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
