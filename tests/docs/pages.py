"""Reads the pages: README.md and docs/**/*.md, their sections, code blocks, tables, links and inline code."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent.parent
README = "README.md"


class Block(NamedTuple):
    """A fenced block of code."""

    page: str
    section: str
    """The heading above it."""
    language: str
    text: str
    line: int
    """Of the page, counted from 0."""

    @property
    def end_of(self) -> str | None:
        """The name of the file at whose end it stands, if its first line is a comment that says so."""
        match = re.match(r"# (\S+\.py): at its end\n", self.text)
        return match.group(1) if match and self.language == "python" else None

    @property
    def file(self) -> str | None:
        """The name of the file that it is, if its first line is a comment with one."""
        match = re.match(r"# (\S+\.py)\n", self.text)
        return match.group(1) if match and self.language == "python" else None


@dataclass(frozen=True)
class Page:
    name: str
    """From the root of the repository: `docs/how-to/retries.md`."""
    text: str = field(repr=False)

    @cached_property
    def sections(self) -> dict[str, list[str]]:
        """The page's lines by the heading above them; a `#` in a code block is no heading."""
        found: dict[str, list[str]] = {}
        title, code = "", False
        for line in self.text.splitlines():
            code ^= line.startswith("```")
            if not code and (heading := re.match(r"#{1,3} (.*)", line)):
                title = heading.group(1)
                assert title not in found, f"{self.name} has two headings {title!r}"
            found.setdefault(title, []).append(line)
        return found

    @cached_property
    def blocks(self) -> list[Block]:
        found: list[Block] = []
        line = 0
        for title, lines in self.sections.items():
            text = "\n".join(lines) + "\n"
            found += [
                Block(self.name, title, match.group(1), match.group(2), line + text[: match.start(2)].count("\n"))
                for match in re.finditer(r"^```(\w+)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
            ]
            line += len(lines)
        return found

    @property
    def prose(self) -> str:
        """The page without its blocks of code."""
        return re.sub(r"^```.*?^```$", "", self.text, flags=re.DOTALL | re.MULTILINE)

    @property
    def inline_code(self) -> list[str]:
        return re.findall(r"`([^`\n]+)`", self.prose)

    @property
    def links(self) -> list[str]:
        return re.findall(r"\]\(([^)\s]+)\)", self.prose)

    @property
    def anchors(self) -> set[str]:
        """What a link may name after `#`, by GitHub's rule, which MyST follows."""
        return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in self.sections}

    def typed(self, section: str | None = None) -> list[Block]:
        """The python blocks that are typed into a session, not saved as files; those of one section, or all."""
        return [
            block
            for block in self.blocks
            if block.language == "python" and not (block.file or block.end_of) and section in (None, block.section)
        ]

    def files(self) -> list[Block]:
        return [block for block in self.blocks if block.file]

    def table(self, first: str, section: str | None = None) -> list[list[str]]:
        """The rows of the table whose first column is called `first`, each a list of its cells."""
        rows: list[list[str]] = []
        within = False
        for title, lines in self.sections.items():
            for line in lines:
                cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
                if cells and within and not set("".join(cells)) <= {"-"}:
                    rows.append(cells)
                within = bool(cells) and (within or (cells[0] == first and section in (None, title)))
        assert rows, f"{self.name} has no table {first!r} under {section!r}"
        return rows


def _read_pages() -> dict[str, Page]:
    files = [ROOT / README, *sorted((ROOT / "docs").rglob("*.md"))]
    names = [file.relative_to(ROOT).as_posix() for file in files if "_build" not in file.parts]
    return {name: Page(name, (ROOT / name).read_text()) for name in names}


PAGES = _read_pages()


def page(name: str) -> Page:
    return PAGES[name]


def how_to(name: str) -> Page:
    return PAGES[f"docs/how-to/{name}.md"]


def all_blocks(*languages: str) -> list[Block]:
    return [block for page in PAGES.values() for block in page.blocks if block.language in languages]
