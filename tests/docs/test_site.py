"""The site builds without a warning, and links lead somewhere; the README is short enough to be read."""

import re
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

import steve
from tests.docs.pages import PAGES, README, ROOT, page
from tests.docs.test_reference import METHODS

pytestmark = pytest.mark.timeout(600)  # building the site takes half a minute on a busy machine


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make docs` builds."""
    (line,) = re.findall(
        r"^\t\$\(RUN\) (sphinx .*) docs docs/_build \$\(ARGS\)$", (ROOT / "Makefile").read_text(), re.MULTILINE
    )
    folder = tmp_path_factory.mktemp("site")
    process = subprocess.run(
        [sys.executable, "-m", *line.split(), "docs", str(folder)], cwd=ROOT, capture_output=True, text=True, timeout=400
    )
    assert process.returncode == 0, process.stderr
    return folder


def test_the_site_builds_without_a_warning_and_has_every_page(site: Path) -> None:
    """Sphinx warns of a link or an anchor that leads nowhere, and of a page that no table of contents names."""
    names = [Path(name).relative_to("docs").with_suffix(".html") for name in PAGES if name != README]
    assert [name for name in names if not (site / name).is_file()] == []


def test_the_site_has_an_entry_for_every_public_name_and_method(site: Path) -> None:
    inventory = (site / "objects.inv").read_bytes()
    text = zlib.decompress(inventory[inventory.index(b"zlib.\n") + len(b"zlib.\n") :]).decode()
    names = [*(f"steve.{name}" for name in steve.__all__), *(f"steve.JobManager.{name}" for name in METHODS)]
    assert [name for name in names if not re.search(rf"^{re.escape(name)} py:", text, re.MULTILINE)] == []


def test_the_site_has_the_docstrings_of_fields(site: Path) -> None:
    """They stand in the modules that define the classes, which say that they are of `steve`."""
    text = (site / "reference" / "api.html").read_text()
    assert "-100 to 100, higher first." in text
    assert "What is wrong: one sentence for people about each problem." in text


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere_without_the_site_too(name: str) -> None:
    """On the page as a file, in a checkout or on a site that shows Markdown."""
    for link in page(name).links:
        if re.match(r"https?:", link):
            continue
        target, _, anchor = link.partition("#")
        file = (ROOT / name).parent.joinpath(target).resolve() if target else ROOT / name
        assert file.is_file(), link
        if anchor:
            assert anchor in page(file.relative_to(ROOT).as_posix()).anchors, link


def test_every_link_has_a_text() -> None:
    """A site that shows Markdown does not fill in the title of the page."""
    assert [name for name in PAGES if re.search(r"(?<!\!)\[\]\(", page(name).prose)] == []


def test_the_readme_is_short() -> None:
    assert len(page(README).text.splitlines()) <= 200
