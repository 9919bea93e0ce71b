"""A wait for a socket, or for a call of `wake()`: what the notifier and the heartbeat do most of the time."""

from __future__ import annotations

import contextlib
import selectors
import socket

# An idle process begins a new wait for each job that other processes create. poll costs one system call a wait; epoll costs
# five, and a descriptor when the process may have none left. One epoll for all waits would go on reporting a socket that was
# closed here and is still open in the child of a fork.
Selector = getattr(selectors, "PollSelector", selectors.DefaultSelector)


class SocketWait:
    def __init__(self) -> None:
        self._near_end, self._far_end = socket.socketpair()  # a byte on this pair ends a wait

    def wake(self) -> None:
        """End the present wait, or the next one. From any thread."""
        with contextlib.suppress(OSError):  # closed already
            self._far_end.send(b".")

    def wait(self, descriptor: int | None, seconds: float | None) -> None:
        """Return when the socket with this number has something to say (often its end), after `wake()`, or after so many
        seconds."""
        with Selector() as selector:
            selector.register(self._near_end, selectors.EVENT_READ)
            if descriptor is not None:
                selector.register(descriptor, selectors.EVENT_READ)
            selector.select(seconds)

    def close(self) -> None:
        self._near_end.close()
        self._far_end.close()
