"""Runs the blocks of a page as a reader would, within a small program of the reader's own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from psycopg.conninfo import conninfo_to_dict

from steve import Job, JobManager
from tests.conftest import until
from tests.docs.pages import README, ROOT, Block, Page, page

SHOP = "postgresql://localhost/shop"


class Reader:
    """Runs python blocks. The blocks of a page share a namespace, which holds from the beginning:

    - what the first page of the README defines: `manager` (not started, its tables made), `welcome`, `Job`, `JobManager`;
    - the functions that belong to the reader's own program (`send_mail` and the like), which record their calls.

    In a block `postgresql://localhost/shop` becomes the test's database, and every JobManager gets the test's schema. A block
    that begins with the name of a file (`# shop/jobs.py`) is saved as that file, and other processes run it.
    """

    def __init__(self, database: str, schema: str, folder: Path) -> None:
        self.schema = schema
        self.folder = folder
        self.url = url_of(database, schema)
        self.mails: list[tuple[str, str]] = []
        self.pages: list[str] = []
        self.rows: list[tuple[Any, int, str]] = []
        self.fetched: list[str] | None = ["one", "two", "three"]
        self.namespace: dict[str, Any] = {
            "__name__": "page",
            "send_mail": lambda address, text: self.mails.append((address, text)),
            "new_token": lambda: "a token",
            "page_somebody": self.pages.append,
            "fetch_rows": lambda url: self.fetched,
            "store_row": lambda uid, number, row: self.rows.append((uid, number, row)),
        }

    def adapted(self, text: str) -> str:
        """The text with the test's database in place of the shop's."""
        return text.replace(SHOP.partition(":")[2], self.url.partition(":")[2])

    def execute(self, text: str, line: int = 0, name: str = "page") -> None:
        source = "\n" * line + self.adapted(text)  # so that a traceback names the line of the page
        exec(compile(source, name, "exec", dont_inherit=True), self.namespace)

    def type_block(self, block: Block) -> None:
        self.execute(block.text, block.line, block.page)

    def open_first_page(self) -> tuple[str, str]:
        """Types the README's first block up to `manager.start(`. Returns what is typed next, and what comes after its `...`."""
        block, *_ = page(README).typed()
        definitions, start, work = block.text.partition("manager.start(")
        self.execute(definitions, block.line, block.page)
        before, dots, after = (start + work).partition("\n...\n")
        assert dots
        return before, after

    def type(self, page: Page, section: str | None = None) -> dict[str, Any]:
        """Types all of the page, or of a section, with the manager of the README. Returns the namespace."""
        self.open_first_page()
        self.manager.migrate()
        for block in page.typed(section):
            self.type_block(block)
        return self.namespace

    @property
    def manager(self) -> JobManager:
        manager: JobManager = self.namespace["manager"]
        return manager

    def see(self, job: Job, status: str) -> Job:
        """Waits until the job has this status. Returns the job as it is then."""
        return until(lambda: found if (found := self.manager.find(job)) and found.status == status else None)

    # -- files and processes ------------------------------------------------------------------------------------------------

    def save(self, *pages: Page, **others: str) -> None:
        """Saves the files of these pages, and others: `shop__mail="..."` is shop/mail.py."""
        texts = {block.file: block.text for page in pages for block in page.files() if block.file}
        texts |= {name.replace("__", "/") + ".py": textwrap.dedent(text) for name, text in others.items()}
        for name, text in texts.items():
            file = self.folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            manager = rf'JobManager(\1, schema="{self.schema}"'
            file.write_text(re.sub(r'JobManager\(("postgresql:[^"]*")', manager, self.adapted(text)))

    def run(self, *arguments: str, environment: dict[str, str] | None = None) -> subprocess.Popen[str]:
        """Starts Python in a process of its own, in the folder of the files. `environment`: variables to add."""
        return subprocess.Popen(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=os.environ
            | {"PYTHONPATH": f"{self.folder}:{ROOT}", "DJANGO_SETTINGS_MODULE": "shop.settings"}
            | (environment or {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


def ends_well(process: subprocess.Popen[str], *, signal_number: int | None = None) -> str:
    """Waits until the process has ended, by itself or by this signal, with exit code 0. Returns what it wrote."""
    try:
        if signal_number is not None:
            process.send_signal(signal_number)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, out + err
    return out + err


def url_of(conninfo: str, schema: str) -> str:
    """The same database as a URL, which SQLAlchemy needs. The search path leads to the test's schema."""
    parts = conninfo_to_dict(conninfo)
    user, password = quote(str(parts.pop("user", "")), safe=""), quote(str(parts.pop("password", "")), safe="")
    parts["options"] = f"{parts.get('options') or ''} -csearch_path={schema}".strip()
    login = f"{user}:{password}@" if password else f"{user}@" if user else ""
    return f"postgresql://{login}/{quote(str(parts.pop('dbname', '')), safe='')}?{urlencode(parts, quote_via=quote)}"
