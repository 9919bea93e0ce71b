"""Pools: which workers are for which queues. `parse_pools` reads what users pass as `workers`; it is pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from steve._model.names import check_name
from steve._model.settings import WORKERS_MOST, check_workers
from steve.errors import shown

Workers = int | str | Mapping[str, int]
"""What `start`, `run` and `scale` take: a number of workers for all queues, or pools as a mapping or as text."""

REST = "*"
EXAMPLE = '{"mail": 4, "reports,exports": 1, "*": 2}'
FORMS = f'an int, a dict such as {EXAMPLE}, or text such as "mail:4;reports,exports:1;*:2"'


class PoolSpec(NamedTuple):
    """What a pool is: its queues and the number of its workers."""

    workers: int
    queues: tuple[str, ...] | None = None
    """None: all but the excluded ones."""
    excluded: tuple[str, ...] = ()
    """Queues that other pools of the manager work on, or that nobody shall work on here; only if `queues` is None."""

    def serves(self, queue: str) -> bool:
        return queue not in self.excluded if self.queues is None else queue in self.queues

    def is_same(self, other: PoolSpec) -> bool:
        """Whether the other pool has the same queues."""
        return self._key() == other._key()

    def _key(self) -> tuple[frozenset[str] | None, frozenset[str]]:
        return None if self.queues is None else frozenset(self.queues), frozenset(self.excluded)


def parse_pools(workers: object, queues: tuple[str, ...] | None) -> tuple[PoolSpec, ...]:
    """Returns the pools. Raises TypeError and ValueError. `queues`: those of the manager; None: all."""
    if isinstance(workers, str):
        workers = _from_text(workers)
    if not isinstance(workers, Mapping):
        if type(workers) is not int:
            raise TypeError(f"workers must be {FORMS}, not {type(workers).__name__}")
        check_workers(workers)
        return (PoolSpec(workers, queues),)
    if not workers:
        raise ValueError(f"workers is empty: name at least one pool, such as {EXAMPLE}; quiet() stops the claims")
    parsed = [_Parsed(name, *_names(name, queues)) for name in workers]
    named = _named(parsed)
    pools = []
    for one in parsed:
        number = workers[one.text]
        if type(number) is not int:
            raise TypeError(f"workers: the pool {shown(one.text)} has {type(number).__name__} as its workers, not an int")
        if not 1 <= number <= WORKERS_MOST:
            raise ValueError(
                f"workers: the pool {shown(one.text)} must have 1 to {WORKERS_MOST} workers, not {shown(number)}: leave a pool "
                "out to end it, and exclude its queues by -name"
            )
        pools.append(one.pool(number, named, queues))
    if (total := sum(pool.workers for pool in pools)) > WORKERS_MOST:
        raise ValueError(f"workers: all pools together have {total} workers, and {WORKERS_MOST} is the most")
    return tuple(pools)


class _Parsed(NamedTuple):
    """The text that names the queues of one pool, and what it says."""

    text: str
    names: list[str]
    excluded: list[str]
    is_rest: bool

    def pool(self, workers: int, named: Mapping[str, str], queues: tuple[str, ...] | None) -> PoolSpec:
        if not self.is_rest:
            return PoolSpec(workers, tuple(self.names))
        without = {*named, *self.excluded}
        if queues is None:
            return PoolSpec(workers, None, tuple(sorted(without)))
        left = tuple(queue for queue in queues if queue not in without)
        if not left:
            raise ValueError(f"workers: the pool {shown(self.text)} has no queue left of the manager's: {', '.join(queues)}")
        return PoolSpec(workers, left)


def _names(text: object, queues: tuple[str, ...] | None) -> tuple[list[str], list[str], bool]:
    """The queues that a pool names, those that it excludes, and whether it is for all others."""
    if not isinstance(text, str):
        raise TypeError(f"workers: a pool is named by its queues, such as {EXAMPLE}, not by {type(text).__name__}")
    names: list[str] = []
    excluded: list[str] = []
    is_rest = False
    for item in (part.strip() for part in text.split(",")):
        if item == REST:
            is_rest = True
            continue
        name = item.removeprefix("-")
        check_name(f"workers: a queue of the pool {shown(text)}", name)
        if name == REST:
            raise ValueError(f'workers: the pool {shown(text)} excludes "*", so that no queue is left')
        if queues is not None and name not in queues:
            raise ValueError(f"workers: {shown(name)} is not among the queues of this manager: {', '.join(queues)}")
        (excluded if item != name else names).append(name)
    if names and (is_rest or excluded):
        raise ValueError(
            f'workers: the pool {shown(text)} mixes names with "*" or "-": a pool has either some queues, or all that no other '
            'pool names ("*") but some ("-mail")'
        )
    return names, excluded, is_rest or bool(excluded)


def _named(parsed: list[_Parsed]) -> Mapping[str, str]:
    """The queues that pools name, each with the text of its pool."""
    named: dict[str, str] = {}
    rest: str | None = None
    for one in parsed:
        if one.is_rest:
            if rest is not None:
                raise ValueError(
                    f"workers: the pools {shown(rest)} and {shown(one.text)} are both for all queues that no other pool names: "
                    "only one can be"
                )
            rest = one.text
        for name in one.names:
            if name in named:
                raise ValueError(
                    f"workers: the queue {shown(name)} is in two pools, {shown(named[name])} and {shown(one.text)}"
                )
            named[name] = one.text
    return named


def _from_text(text: str) -> int | dict[str, int]:
    if text.strip().isdecimal():
        return _number(text.strip(), text)
    return dict(_parts(text))


def _parts(text: str) -> Iterator[tuple[str, int]]:
    seen = set()
    for part in text.split(";"):
        names, colon, number = part.rpartition(":")
        if not colon or not number.strip().isdecimal():
            raise ValueError(f"workers: {shown(part)} is no pool; workers must be {FORMS}")
        if (names := names.strip()) in seen:
            raise ValueError(f"workers: the pool {shown(names)} is there twice")
        seen.add(names)
        yield names, _number(number.strip(), part)


def _number(digits: str, text: str) -> int:
    if len(digits) > 9 or not digits.isascii():
        raise ValueError(f"workers: {shown(text)} has no number of workers between 1 and {WORKERS_MOST}")
    return int(digits)
