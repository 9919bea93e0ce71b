"""Pages in which programs write a part, between two comments with its name. People write the rest."""

from __future__ import annotations

from pathlib import Path


def keep(page: Path, name: str, text: str) -> None:
    """Put the text between the comments of that name; at the end of the page where it has none yet."""
    begin, end = f"<!-- {name}: written by a program -->\n", f"<!-- {name}: end -->\n"
    before, found, rest = (page.read_text() if page.exists() else "").partition(begin)
    after = rest.partition(end)[2] if found else ""
    page.write_text(f"{before}{begin}{text}{end}{after}")
