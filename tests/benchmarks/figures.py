"""What a figure is: a function that measures something once, under a name, with the bars that its measures should reach.

The command line takes all chosen figures in each repetition, so that what disturbs the machine for a while affects them alike.
A ratio is taken within each repetition, and the median of these ratios counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, NamedTuple

from .cluster import Cluster

Ref = tuple[str, str]
"""A measure of a figure: ("limit.batch", "jobs/s")."""


class Bench(NamedTuple):
    """What a figure gets."""

    cluster: Cluster
    quick: bool = False
    full: bool = False

    def jobs(self, number: int) -> int:
        """So many jobs, or a twentieth of them for a quick look."""
        return max(number // 20, 500) if self.quick else number

    def samples(self, number: int) -> int:
        return max(number // 5, 100) if self.quick else number

    def seconds(self, number: float) -> float:
        return max(number / 20, 2.0) if self.quick else number


class Reading(NamedTuple):
    """What a figure found in one repetition: the measures by name, and whatever else is worth a place in the JSON."""

    measures: dict[str, float]
    details: dict[str, Any] = {}  # noqa: RUF012 - never written to


class Bar(NamedTuple):
    """A number that a measure should reach, or its ratio to another measure."""

    sign: str
    """">=" or "<="."""
    number: float
    of: Ref | None = None

    def met(self, value: float) -> bool:
        return value >= self.number if self.sign == ">=" else value <= self.number


def at_least(number: float, of: Ref | None = None) -> Bar:
    return Bar(">=", number, of)


def at_most(number: float, of: Ref | None = None) -> Bar:
    return Bar("<=", number, of)


@dataclass(frozen=True)
class Measure:
    """One number of a figure. Its name begins with its unit: "jobs/s", "ms, p99"."""

    bars: Sequence[Bar] = ()
    any_bar: bool = False
    """One of the bars is enough."""
    ratios: Sequence[Ref] = ()
    """Further measures to which its ratio is shown."""
    ahead_of: Sequence[Ref] = ()
    """Measures that it should exceed, if they are in the run too. They are not measured for this alone."""

    def needs(self) -> list[Ref]:
        return list(dict.fromkeys([*(bar.of for bar in self.bars if bar.of), *self.ratios]))

    def refs(self) -> list[Ref]:
        return [*self.needs(), *self.ahead_of]


@dataclass(frozen=True)
class Figure:
    name: str
    title: str
    measures: dict[str, Measure]
    take: Callable[[Bench], Reading]
    full_only: bool = False

    @property
    def group(self) -> str:
        return self.name.partition(".")[0]


GROUPS = (
    "limit", "drain", "peer", "lanes", "fleet", "growth", "horizon", "create", "pickup", "wait", "records", "idle", "start",
)  # fmt: skip
"""In the order in which they are taken and shown."""

FIGURES: dict[str, Figure] = {}
"""Every figure by its name."""


def figure(
    name: str, title: str, measures: dict[str, Measure], *, full_only: bool = False
) -> Callable[[Callable[[Bench], Reading]], Callable[[Bench], Reading]]:
    """Decorator: this function takes the figure `name`, whose part before the dot is its group."""

    def register(take: Callable[[Bench], Reading]) -> Callable[[Bench], Reading]:
        one = Figure(name, title, measures, take, full_only)
        assert name not in FIGURES, name
        assert one.group in GROUPS, name
        FIGURES[name] = one
        return take

    return register


def chosen(only: Sequence[str], full: bool) -> list[Figure]:
    """The figures of these names or groups, each right after the figures that it is compared with.

    Without names: all but those of the peers, and without `full` none that is `full_only`.
    """
    unknown = [name for name in only if not any(_is_meant(figure, name) for figure in FIGURES)]
    if unknown:
        raise LookupError(f"no figure is called {unknown[0]!r}: --list names them")
    wanted = [
        figure
        for figure in in_order()
        if (
            any(_is_meant(figure.name, name) for name in only)
            if only
            else figure.group != "peer" and (full or not figure.full_only)
        )
    ]
    ordered: dict[str, Figure] = {}
    for one in wanted:
        for needed in (*_references(one), one):
            ordered[needed.name] = needed
    return list(ordered.values())


def in_order() -> list[Figure]:
    return sorted(FIGURES.values(), key=lambda one: GROUPS.index(one.group))


def _is_meant(name: str, asked: str) -> bool:
    return name == asked or name.startswith(asked.rstrip(".") + ".")


def _references(one: Figure) -> Iterator[Figure]:
    for measure in one.measures.values():
        for name, _ in measure.needs():
            if name != one.name:
                yield from _references(FIGURES[name])
                yield FIGURES[name]


@dataclass
class Results:
    """All readings of a run: by figure, then by repetition."""

    readings: dict[str, dict[int, Reading]] = field(default_factory=dict)
    errors: list[tuple[str, int, str]] = field(default_factory=list)
    """Figure, repetition, what went wrong."""

    def add(self, figure: Figure, repetition: int, reading: Reading) -> None:
        self.readings.setdefault(figure.name, {})[repetition] = reading

    def values(self, ref: Ref) -> dict[int, float]:
        """The values by repetition; empty if the measure was not taken."""
        name, measure = ref
        readings = self.readings.get(name, {})
        return {number: reading.measures[measure] for number, reading in readings.items() if measure in reading.measures}

    def median(self, ref: Ref) -> float | None:
        values = self.values(ref)
        return median(values.values()) if values else None

    def ratio(self, ref: Ref, to: Ref) -> float | None:
        """The median of the ratios within each repetition."""
        values, others = self.values(ref), self.values(to)
        ratios = [values[number] / others[number] for number in values if others.get(number)]
        return median(ratios) if ratios else None

    def met(self, figure: Figure, name: str) -> bool | None:
        """Whether the measure reaches its bars; None: it has none, or was not measured."""
        measure = figure.measures[name]
        found = [(bar, self.for_bar((figure.name, name), bar)) for bar in measure.bars]
        verdicts = [bar.met(value) for bar, value in found if value is not None]
        if not verdicts:
            return None
        return any(verdicts) if measure.any_bar else all(verdicts)

    def ahead(self, figure: Figure, name: str) -> dict[Ref, bool]:
        """For each measure that it should exceed and that was taken: whether it does."""
        found = {to: self.ratio((figure.name, name), to) for to in figure.measures[name].ahead_of}
        return {to: ratio > 1 for to, ratio in found.items() if ratio is not None}

    def for_bar(self, ref: Ref, bar: Bar) -> float | None:
        return self.median(ref) if bar.of is None else self.ratio(ref, bar.of)
