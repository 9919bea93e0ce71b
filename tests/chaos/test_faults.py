"""The choice of the faults that a run injects."""

from __future__ import annotations

import pytest

from . import __main__  # noqa: F401 - the import registers the faults
from .faults import FAULTS, Shard, chosen


@pytest.mark.parametrize("parts", [1, 2, 7])
def test_the_shards_together_have_each_fault_once(parts: int) -> None:
    faults = chosen([], short=True)
    assert faults
    dealt = [Shard(f"{number}/{parts}")(faults) for number in range(1, parts + 1)]
    assert sorted(one.id for shard in dealt for one in shard) == sorted(one.id for one in faults)
    assert max(map(len, dealt)) - min(map(len, dealt)) <= 1


@pytest.mark.parametrize("text", ["0/2", "3/2", "1/0", "1", "a/b", "", "-1/2"])
def test_a_shard_that_does_not_exist_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Shard(text)


def test_a_fault_that_does_not_exist_is_named() -> None:
    with pytest.raises(LookupError, match="no fault is called 'F0'"):
        chosen([next(iter(FAULTS)), "F0"], short=True)
