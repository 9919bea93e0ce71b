"""The threads of an engine, and their supervision. A loop that raises anything begins again on its thread. When a worker thread
has died, the executor is replaced, because an executor does not replace dead threads itself: it would go on with fewer and
fewer, in the end with none, and report nothing. Both cases are counted for `health()`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from steve._engine.upkeep.slot import Slot
from steve._engine.upkeep.thread_hooks import Departure, ThreadHooks
from steve._model.tuning import Tuning
from steve._runtime.log import logger

Turn = Callable[[], None]


class Threads:
    def __init__(self, *, workers: int, own_threads: threading.local, tuning: Tuning, hooks: ThreadHooks | None = None) -> None:
        """`own_threads`: each loop and each worker thread sets the attribute `mark` on it. `hooks`: those around a worker
        thread."""
        self.workers = workers
        self._hooks = ThreadHooks() if hooks is None else hooks
        self._departures: list[Departure] = []
        self._slots: list[Slot] = []  # all that were opened and may still have a thread
        self._let_go_last: ThreadPoolExecutor | None = None
        self._tuning = tuning
        self.own_threads = own_threads
        # Held while an executor is replaced, which starts threads. Before _counting.
        self._replacing = threading.Lock()
        # Protects changes of `restarted` and `_let_go_last`; nothing is called under it.
        self._counting = threading.Lock()
        self.restarted = 0
        """How often a loop broke off and began again, or a worker thread was replaced."""
        self._loops: dict[str, threading.Thread] = {}
        self._unfinished: set[str] = set()
        self._members: list[threading.Thread] = []
        self._executor: ThreadPoolExecutor | None = None
        self._turns: set[Future[None]] = set()  # the turns that were submitted and are not over
        self._ended = threading.Event()

    # -- loops ----------------------------------------------------------------------------------------------------------

    def loop(self, name: str, run: Callable[[], None], *, daemon: bool) -> None:
        """Start a thread that calls `run`, and calls it again if it raises. Raises RuntimeError if the system starts no more
        threads."""

        def body() -> None:
            self.own_threads.mark = True
            self._unfinished.add(name)
            pause = 0.0
            while True:
                began = time.monotonic()
                try:
                    run()
                    self._unfinished.discard(name)
                    return
                except BaseException:
                    self._count()
                    logger.exception("the thread %s broke off and begins again", name)
                    # A loop that breaks off again and again (a handler may have closed all files) must not fill the log.
                    most = self._tuning.restart_pause_most
                    is_again = pause and time.monotonic() - began < most
                    pause = min(2 * pause, most) if is_again else self._tuning.restart_pause
                    time.sleep(pause)

        thread = threading.Thread(target=body, name=name, daemon=daemon)
        self._loops[name] = thread
        thread.start()

    def has_loop(self, name: str) -> bool:
        """Whether its thread was started."""
        return name in self._loops and self._loops[name].ident is not None

    # -- workers --------------------------------------------------------------------------------------------------------

    def start_workers(self) -> None:
        """Raises RuntimeError if the system starts no more threads."""
        self._executor, self._members = self._make_executor(self.workers)

    def submit(self, turn: Turn) -> None:
        """Raises RuntimeError when the interpreter exits."""
        while True:
            executor = self._executor
            assert executor is not None
            try:
                future = executor.submit(turn)
            except RuntimeError:
                if executor is self._executor:  # otherwise it was replaced meanwhile: try the new one
                    raise
            else:
                self._turns.add(future)
                future.add_done_callback(self._turns.discard)
                return

    def replace_dead(self) -> int:
        """If a worker thread has died, make a new executor. Returns how many turns must be submitted again: those that waited
        in the old executor, and those that a thread had taken and not begun when it died. Turns that run in the old executor
        go on to their end."""
        with self._replacing:
            dead = sum(not thread.is_alive() for thread in self._members)
            if self._ended.is_set() or not dead:
                return 0
            try:
                cancelled = self._replace(self.workers)
            except RuntimeError as error:
                # Either the interpreter exits, or the system starts no more threads now: then the next call tries again.
                if "shutdown" in str(error):
                    self._ended.set()
                return 0
        self._count(dead)
        logger.error("%d of %d worker threads had died: all are replaced", dead, self.workers)
        return cancelled

    def resize(self, workers: int) -> int:
        """Have so many worker threads. Those of the old executor end after their turns. Returns and raises as `_replace`."""
        with self._replacing:
            if self._ended.is_set():
                return 0
            self.workers, cancelled = workers, self._replace(workers)
            return cancelled

    def _replace(self, workers: int) -> int:
        """Put a new executor in the place of the old one. Returns how many turns were cancelled, all but those that run: they
        must be submitted again. Raises RuntimeError if the system starts no more threads."""
        old, old_members = self._executor, self._members
        assert old is not None
        # before the old one is shut down, so that submit() always finds an open one
        self._executor, self._members = self._make_executor(workers)
        self._let_go(old, old_members)
        # Read the flag after the assignment: end_workers() sets the flag before it reads _executor, so one of the two shuts the
        # new executor down.
        if self._ended.is_set():
            self._let_go(self._executor, self._members)
        return sum(turn.cancel() for turn in tuple(self._turns))

    def end_workers(self) -> None:
        """No turn can be submitted after this."""
        self._ended.set()
        if self._executor is not None:
            self._let_go(self._executor, self._members)
        for slot in tuple(self._slots):
            slot.close()

    def open_slot(self) -> Slot:
        """Start a worker thread beside the executor's. Raises RuntimeError if the system starts no more threads."""
        slot = Slot(enter=self._enter, hooks=self._hooks, look=self._tuning.replace_check)
        slot.open()
        self._slots = [*(one for one in self._slots if not one.has_ended()), slot]
        if self._ended.is_set():  # read after the assignment, as in replace_dead()
            slot.close()
        return slot

    def have_left_hooks(self) -> bool:
        """Whether `wait_for_hooks` would return at once. Called after `end_workers()`."""
        return all(one.is_over() for one in self._departures) and all(slot.has_ended() for slot in self._slots)

    def wait_for_hooks(self) -> None:
        """Wait until the worker threads have left their hooks. Called when no turn is under way and none will come."""
        for departure in tuple(self._departures):
            departure.wait()
        for slot in tuple(self._slots):
            slot.wait_for_hooks()

    def _let_go(self, executor: ThreadPoolExecutor, members: list[threading.Thread]) -> None:
        """Have each thread of this executor leave its hooks and end."""
        with self._counting:
            if executor is self._let_go_last:  # by end_workers() and replace_dead() at the same time
                return
            self._let_go_last = executor
        if any(self._hooks.has_entered(thread) for thread in tuple(members)) or self._hooks.are_any():
            workers = executor._max_workers
            departure = Departure(hooks=self._hooks, members=members, workers=workers, look=self._tuning.replace_check)
            self._departures = [*(one for one in self._departures if not one.is_over()), departure]
            try:
                for _ in range(workers):
                    executor.submit(departure.leave)
            except RuntimeError:  # the interpreter exits
                departure.give_up()
        executor.shutdown(wait=False)

    def _make_executor(self, workers: int) -> tuple[ThreadPoolExecutor, list[threading.Thread]]:
        """Make an executor and start all its threads at once. So a later submit() can fail for one reason only: the interpreter
        exits."""
        members: list[threading.Thread] = []
        all_started = threading.Event()

        def enter() -> None:
            members.append(threading.current_thread())
            self._enter()

        executor = ThreadPoolExecutor(workers, "steve-worker", initializer=enter)
        try:
            for _ in range(workers):
                executor.submit(all_started.wait)
        except BaseException:
            executor.shutdown(wait=False)
            raise
        finally:
            all_started.set()
        return executor, members

    def _enter(self) -> None:
        self.own_threads.mark = True
        self._hooks.enter()

    # -- what health() asks ---------------------------------------------------------------------------------------------

    def _count(self, threads: int = 1) -> None:
        with self._counting:
            self.restarted += threads

    def dead(self) -> list[str]:
        """The names of threads that have died and will not begin again by themselves."""
        loops = [name for name in tuple(self._unfinished) if not self._loops[name].is_alive()]
        workers = [] if self._ended.is_set() else [thread.name for thread in self._members if not thread.is_alive()]
        return loops + workers


def call_aside(call: Callable[[], object], seconds: float) -> None:
    """Call `call` on a thread of its own, because it may block, and wait for it at most `seconds`. If the system starts no more
    threads, call it on this one."""
    thread = threading.Thread(target=call, name="steve-aside", daemon=True)
    try:
        thread.start()
    except RuntimeError:
        call()
    else:
        thread.join(seconds)
