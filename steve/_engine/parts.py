"""The parts of an engine. `wiring.py` makes them; `engine.py` starts and asks them, and `ending.py` ends them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from steve._database.loop_connection import LoopConnections
from steve._database.statements.processes import ProcessStatements
from steve._engine.events.dispatcher import Dispatcher
from steve._engine.figures.writer import FigureWriter
from steve._engine.liveness.liveness import Liveness
from steve._engine.pools.duties import PoolDuties
from steve._engine.pools.pools import Pools
from steve._engine.settle.commits import Commits
from steve._engine.settle.queue import SettleQueue
from steve._engine.settle.settler import Settler
from steve._engine.upkeep.abandonment import Abandonment
from steve._engine.upkeep.outage import Outage
from steve._engine.upkeep.periodic import Periodic
from steve._engine.upkeep.replacement import Replacement
from steve._engine.upkeep.threads import Threads
from steve._engine.work.deadlines import Deadlines
from steve._engine.work.running import AllRunning


class Component(NamedTuple):
    """A part of the engine that has a thread."""

    name: str
    run: Callable[[], None]
    end: Callable[[], None] | None
    """Makes `run` return soon. None: the stage before it does."""
    daemon: bool = True
    vitals: Callable[[], Mapping[str, Any]] = dict
    """Returns the fields of `Health` that this component knows."""


class Parts(NamedTuple):
    """What the engine starts, stops and asks."""

    components: Sequence[Component]
    """In the order in which they end."""
    threads: Threads
    connections: LoopConnections
    processes: ProcessStatements
    pools: Pools
    duties: PoolDuties
    running: AllRunning
    deadlines: Deadlines
    queue: SettleQueue
    settler: Settler
    commits: Commits
    dispatcher: Dispatcher
    liveness: Liveness
    periodic: Periodic
    replacement: Replacement
    abandonment: Abandonment
    outage: Outage
    figure_writer: FigureWriter
