"""A process that outlives the driver by a moment. It ends what the driver started and had not ended, however the driver died.

It reads orders from stdin, one a line: `+ PID SIGNAL` to watch a process, `- PID` to forget it. The end of stdin means that the
driver is gone. The warden runs as a file and imports nothing of ours, so that it is there before the first process that it must
watch.
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
