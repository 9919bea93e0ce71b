"""A wait for a socket that another thread can end. The notifier, the heartbeat and the waits' thread spend most
of their time in it."""

from __future__ import annotations

import contextlib
import selectors
import socket

# An idle process begins a new wait for each job that other processes create. With poll a wait costs one system call. With epoll
# it costs five, and a file descriptor, of which the process may have none left. One epoll object for all waits would go on
# reporting a socket that was closed here and is still open in the child of a fork.
Selector = getattr(selectors, "PollSelector", selectors.DefaultSelector)


class SocketWait:
    def __init__(self) -> None:
        self._near_end, self._far_end = socket.socketpair()  # a byte in this pair ends a wait; only rearm() reads it
        for end in (self._near_end, self._far_end):
            end.setblocking(False)

    def wake(self) -> None:
        """End the present wait, and let all later ones return at once until `rearm()`. From any thread."""
        with contextlib.suppress(OSError):  # closed already, or full of bytes
            self._far_end.send(b".")

    def rearm(self) -> None:
        """Let the next wait wait again. Call it before looking for the cause of the wake-up, so that none is missed."""
        with contextlib.suppress(OSError):  # there is no byte
            self._near_end.recv(65536)

    def wait(self, descriptor: int | None, seconds: float | None) -> None:
        """Wait at most `seconds` until the socket with this number can be read, its other end has closed it, or `wake()` is
        called."""
        with Selector() as selector:
            selector.register(self._near_end, selectors.EVENT_READ)
            if descriptor is not None:
                selector.register(descriptor, selectors.EVENT_READ)
            selector.select(seconds)

    def close(self) -> None:
        self._near_end.close()
        self._far_end.close()
