"""A page of which several programs write a part each."""

from pathlib import Path

from tests.page import keep


def test_a_part_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Title\n\n")
    keep(page, "one", "first\n")
    keep(page, "two", "other\n")
    page.write_text(page.read_text() + "by hand\n")
    before = page.read_text()
    keep(page, "one", "second\n")
    assert page.read_text() == before.replace("first", "second")
    assert before.startswith("# Title\n\n<!-- one")
