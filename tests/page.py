"""Pages of which a program writes a part, between two comments with the part's name. The rest is written by hand."""

from __future__ import annotations

from pathlib import Path


def keep(page: Path, name: str, text: str) -> None:
    """Put the text between the comments of that name. If the page has none, add them at its end."""
    begin, end = f"<!-- {name}: written by a program -->\n", f"<!-- {name}: end -->\n"
    before, found, rest = (page.read_text() if page.exists() else "").partition(begin)
    after = rest.partition(end)[2] if found else ""
    page.write_text(f"{before}{begin}{text}{end}{after}")
