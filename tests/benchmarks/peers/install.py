"""Installs the peers that can run here: `python -m tests.benchmarks.peers.install`. A line says of each what became of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from .catalogue import PEERS, Peer


class CannotInstall(Exception):
    pass


def main() -> None:
    for peer in PEERS:
        if peer.installed:
            continue
        try:
            install(peer)
        except CannotInstall as why:
            print(f"{peer.name} is left out: {why}", flush=True)
        else:
            print(f"{peer.name} is installed", flush=True)


def install(peer: Peer) -> None:
    shutil.rmtree(peer.home, ignore_errors=True)
    if peer.python is None:
        npm = shutil.which("npm")
        if npm is None or shutil.which("node") is None:
            raise CannotInstall("it needs Node and npm, and they are not on the PATH")
        peer.home.mkdir(parents=True)
        run([npm, "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(peer.home), *peer.packages])
    else:
        run([python(peer.python), "-m", "venv", str(peer.home)])
        pip = [str(peer.home / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        run([*pip, *peer.packages])
    peer.stamp.write_text("\n".join(peer.packages))


def python(least: tuple[int, int]) -> str:
    """Our own Python if it is new enough, else one from the PATH or from pyenv."""
    if sys.version_info[:2] >= least:
        return sys.executable
    for minor in range(least[1], least[1] + 4):
        name = f"python3.{minor}"
        for candidate in (name, *sorted(Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/{name}"))):
            try:  # a program on the PATH may be a shim of pyenv's, which only says which versions there are
                run([str(candidate), "-c", ""])
            except CannotInstall:
                continue
            return str(candidate)
    raise CannotInstall(f"it needs Python {least[0]}.{least[1]} or newer")


def run(command: list[str]) -> None:
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, env=os.environ | {"CI": "1"}
        )
    except OSError as error:
        raise CannotInstall(str(error)) from None
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise CannotInstall(lines[-1] if lines else f"{command[0]} failed")


if __name__ == "__main__":
    main()
