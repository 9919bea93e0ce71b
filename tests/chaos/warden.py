"""Outlives the driver by a moment: whatever the driver started and had not ended, however it died, is ended here.

Told on stdin: `+ PID SIGNAL` and `- PID`, a line each. When stdin ends, the driver is gone. It runs as a file of its own:
importing nothing, it is there before the first process that it must watch.
"""

import os
import signal
import sys


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    alive: dict[int, int] = {}
    for line in sys.stdin:
        sign, pid, *how = line.split()
        if sign == "+":
            alive[int(pid)] = int(how[0])
        else:
            alive.pop(int(pid), None)
    for process, how_to in alive.items():
        try:
            os.kill(process, how_to)
        except ProcessLookupError:
            pass


if __name__ == "__main__":
    main()
