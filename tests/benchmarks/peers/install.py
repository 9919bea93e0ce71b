"""Installs the peers that can run here: `python -m tests.benchmarks.peers.install`. A line says of each what became of it."""

from __future__ import annotations

import os
import shutil
import subprocess

from tests.environments import python_for

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
    found = python_for(least)
    if found is None:
        raise CannotInstall(f"it needs Python {least[0]}.{least[1]} or newer")
    return found


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
