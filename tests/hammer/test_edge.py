"""A short run of the hammer. `make hammer` is the long one."""

from tests.hammer.edge import Hammer


def test_at_the_edge_of_an_interrupt_nothing_is_raised_outside_the_handlers_call(database_url: str, schema: str) -> None:
    hammer = Hammer(database_url, schema, 600)
    hammer.run()
    assert hammer.is_sound(), (hammer.flaws, hammer.examples[:5])
    assert {"spin: steve.TimedOut", "spin: completed"} <= hammer.ends.keys(), "it is not the edge"
