"""Pages that programs write a part of: each between two comments of its name, the rest is for people to write."""

from __future__ import annotations

from pathlib import Path


def keep(page: Path, name: str, text: str) -> None:
    """Put the text in the place of that name, at the end of the page where there is none yet."""
    begin, end = f"<!-- {name}: written by a program -->\n", f"<!-- {name}: end -->\n"
    before, found, rest = (page.read_text() if page.exists() else "").partition(begin)
    after = rest.partition(end)[2] if found else ""
    page.write_text(f"{before}{begin}{text}{end}{after}")
