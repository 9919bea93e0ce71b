"""Pools: what a number, a dict or a text says about workers and queues, and what cannot be."""

from collections.abc import Mapping
from typing import Any

import pytest

from steve._model.pools import PoolSpec, Workers, parse_pools

REST = PoolSpec(2, None, ("exports", "mail", "reports"))

RIGHT: dict[str, tuple[Workers, tuple[str, ...] | None, list[PoolSpec]]] = {
    # workers, the manager's queues, pools
    "a number": (3, None, [PoolSpec(3)]),
    "a number as text": (" 3 ", None, [PoolSpec(3)]),
    "a number of workers for the manager's queues": (3, ("a", "b"), [PoolSpec(3, ("a", "b"))]),
    "all queues": ({"*": 3}, None, [PoolSpec(3)]),
    "all queues of the manager": ({"*": 3}, ("a", "b"), [PoolSpec(3, ("a", "b"))]),
    "some queues and the rest": (
        {"mail": 4, "reports,exports": 1, "*": 2},
        None,
        [PoolSpec(4, ("mail",)), PoolSpec(1, ("reports", "exports")), REST],
    ),
    "the same as text": (
        "mail:4;reports,exports:1;*:2",
        None,
        [PoolSpec(4, ("mail",)), PoolSpec(1, ("reports", "exports")), REST],
    ),
    "text with blanks": (" mail : 4 ; * : 2 ", None, [PoolSpec(4, ("mail",)), PoolSpec(2, None, ("mail",))]),
    "a queue whose name has a colon": ("a:b:4", None, [PoolSpec(4, ("a:b",))]),
    "all but one": ({"-mail": 1}, None, [PoolSpec(1, None, ("mail",))]),
    "all but two, and those of another pool": (
        {"*, -mail, -news": 1, "mail": 2},
        None,
        [PoolSpec(1, None, ("mail", "news")), PoolSpec(2, ("mail",))],
    ),
    "the rest of the manager's": (
        {"a": 1, "*": 2}, ("a", "b", "c"), [PoolSpec(1, ("a",)), PoolSpec(2, ("b", "c"))]
    ),
    "no pool for the rest": ({"a": 1}, None, [PoolSpec(1, ("a",))]),
    "a thousand": ({"a": 999, "b": 1}, None, [PoolSpec(999, ("a",)), PoolSpec(1, ("b",))]),
}  # fmt: skip


@pytest.mark.parametrize("what", RIGHT)
def test_what_workers_say(what: str) -> None:
    workers, queues, pools = RIGHT[what]
    assert list(parse_pools(workers, queues)) == pools


WRONG: dict[str, tuple[Any, tuple[str, ...] | None, type[Exception], str]] = {
    # workers, the manager's queues, error, a part of its message
    "none": (None, None, TypeError, "workers must be an int, a dict such as"),
    "a float": (2.0, None, TypeError, "not float"),
    "true": (True, None, TypeError, "not bool"),
    "a list": (["mail"], None, TypeError, "not list"),
    "zero": (0, None, ValueError, "workers must be between 1 and 1000, not 0"),
    "too many": (1001, None, ValueError, "workers must be between 1 and 1000, not 1001"),
    "an empty dict": ({}, None, ValueError, "workers is empty: name at least one pool"),
    "an empty text": ("", None, ValueError, "'' is no pool; workers must be"),
    "an unknown text": ("many", None, ValueError, "'many' is no pool; workers must be"),
    "a text without a number": ("mail", None, ValueError, "'mail' is no pool"),
    "a text with a negative number": ("mail:-1", None, ValueError, "'mail:-1' is no pool"),
    "a text that ends in a semicolon": ("mail:4;", None, ValueError, "'' is no pool"),
    "a text with commas between pools": ("mail:4,*:2", None, ValueError, "mixes names"),
    "a text with the same pool twice": ("mail:4;mail:2", None, ValueError, "the pool 'mail' is there twice"),
    "a number that is too long": ("9" * 10, None, ValueError, "has no number of workers between 1 and 1000"),
    "digits that are not ASCII": ("mail:٤", None, ValueError, "has no number of workers"),
    "no workers": ({"mail": 0}, None, ValueError, "the pool 'mail' must have 1 to 1000 workers, not 0"),
    "no workers as text": ("mail:0", None, ValueError, "the pool 'mail' must have 1 to 1000 workers, not 0"),
    "a pool's workers as text": ({"mail": "4"}, None, TypeError, "the pool 'mail' has str as its workers, not an int"),
    "a pool's workers as bool": ({"mail": True}, None, TypeError, "the pool 'mail' has bool as its workers"),
    "too many in all": ({"a": 600, "b": 401}, None, ValueError, "all pools together have 1001 workers"),
    "a number as a name": ({5: 1}, None, TypeError, "not by int"),
    "an empty name": ({"": 1}, None, ValueError, "must have 1 to 255 characters"),
    "an empty name among others": ({"a,,b": 1}, None, ValueError, "must have 1 to 255 characters"),
    "a name with a NUL": ({"a\x00": 1}, None, ValueError, "must not contain control characters"),
    "a queue in two pools": ({"a,b": 1, "b,c": 1}, None, ValueError, "the queue 'b' is in two pools, 'a,b' and 'b,c'"),
    "a queue twice in a pool": ({"a,a": 1}, None, ValueError, "the queue 'a' is in two pools, 'a,a' and 'a,a'"),
    "two pools for the rest": ({"*": 1, "-a": 1}, None, ValueError, "the pools '*' and '-a' are both for all queues"),
    "the rest twice": ({"*": 1, "*,*": 1}, None, ValueError, "are both for all queues"),
    "names and the rest": ({"mail,*": 1}, None, ValueError, "the pool 'mail,*' mixes names"),
    "names and exclusions": ({"mail,-news": 1}, None, ValueError, "the pool 'mail,-news' mixes names"),
    "the rest excluded": ({"-*": 1}, None, ValueError, 'excludes "*"'),
    "a queue that is not the manager's": ({"b": 1}, ("a",), ValueError, "'b' is not among the queues of this manager: a"),
    "an excluded queue that is not the manager's": ({"-b": 1}, ("a",), ValueError, "'b' is not among the queues"),
    "nothing left by exclusion": ({"-a": 1}, ("a",), ValueError, "the pool '-a' has no queue left of the manager's: a"),
    "nothing left by other pools": ({"a": 1, "*": 1}, ("a",), ValueError, "the pool '*' has no queue left"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_what_cannot_be(what: str) -> None:
    workers, queues, error, text = WRONG[what]
    with pytest.raises(error) as caught:
        parse_pools(workers, queues)
    assert text in str(caught.value)


def test_a_mapping_that_is_no_dict_will_do() -> None:
    class Pools(Mapping[str, int]):
        def __getitem__(self, name: str) -> int:
            return {"a": 1}[name]

        def __iter__(self) -> Any:
            return iter(["a"])

        def __len__(self) -> int:
            return 1

    assert parse_pools(Pools(), None) == (PoolSpec(1, ("a",)),)


def test_the_order_of_queues_makes_no_difference() -> None:
    assert PoolSpec(1, ("a", "b")).is_same(PoolSpec(5, ("b", "a")))
    assert not PoolSpec(1, ("a", "b")).is_same(PoolSpec(1, ("a",)))
    assert not PoolSpec(1).is_same(PoolSpec(1, None, ("a",)))


def test_a_pool_serves_its_queues_or_all_but_the_excluded_ones() -> None:
    assert [PoolSpec(1, ("a",)).serves(queue) for queue in "ab"] == [True, False]
    assert [PoolSpec(1, None, ("a",)).serves(queue) for queue in "ab"] == [False, True]
