import pytest

from tests.engine.claim.harness import Harness


@pytest.fixture
def harness() -> Harness:
    return Harness()
