"""Tables, commands, names and figures on the pages are those of the code."""

import importlib.util
import inspect
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import fields
from functools import cache
from itertools import chain
from typing import Any

import pytest
from django.core.management import get_commands
from psycopg.conninfo import conninfo_to_dict

import steve
from steve import Attempt, AttemptStatus, Health, Job, JobManager, Status, SteveError, StopReport
from steve.contrib.django.management.commands.steve import Command as DjangoCommand
from steve.contrib.flask._commands import commands as flask_commands
from steve.run import Run
from tests.contrib.django_tasks.environments import VERSIONS
from tests.docs.pages import PAGES, README, ROOT, all_blocks, how_to, page

SETTINGS = page("docs/reference/settings.md")
PUBLIC = [name for name in steve.__all__ if name != "__version__"]
METHODS = {name: method for name, method in inspect.getmembers(JobManager, callable) if not name.startswith("_")}
"""Also those that it inherits."""
NOT_HAND_WRITTEN = {"docs/reference/api.md", "docs/internals.md", "docs/reliability.md"}
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


# -- settings --------------------------------------------------------------------------------------------------------------


def named_in(heading: str) -> list[str]:
    """What a heading of the settings page is about: `run(...) and stop(...)`."""
    return re.findall(r"(\w+)\(\.\.\.\)", heading)


def callable_of(name: str) -> Callable[..., Any]:
    found: Callable[..., Any] = METHODS.get(name) or getattr(steve, name)
    return found


def parameters_of(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    parameters = inspect.signature(function).parameters
    return {name: one for name, one in parameters.items() if name != "self" and not name.startswith("_")}


HEADINGS = [heading for heading in SETTINGS.sections if "(...)" in heading]


@pytest.mark.parametrize("heading", HEADINGS)
def test_a_table_of_settings_has_every_keyword_and_its_default(heading: str) -> None:
    in_code = {
        (name, "required" if parameter.default is parameter.empty else repr(parameter.default))
        for called in named_in(heading)
        for name, parameter in parameters_of(callable_of(called)).items()
    }
    on_page = {
        (row[0].strip("`"), row[1] if row[1] == "required" else repr(eval(row[1].strip("`"), vars(steve))))
        for row in SETTINGS.table("keyword", heading)
    }
    assert on_page == in_code


def test_every_method_with_arguments_has_a_table_of_settings() -> None:
    covered = {name for heading in HEADINGS for name in named_in(heading)}
    with_arguments = {name for name, method in METHODS.items() if parameters_of(method)}
    assert {"handler", "on_success", "create"} <= with_arguments, "methods that are inherited count, too"
    assert with_arguments - covered == set()
    assert covered - with_arguments == {
        "Cancel",
        "Fail",
        "JobManager",
        "NewJob",
        "Retry",
        "RetryPolicy",
        "Snooze",
        "Stopped",
        "grants",
    }


def test_every_public_name_is_explained_on_some_page() -> None:
    text = "\n".join(page(name).text for name in PAGES if name not in NOT_HAND_WRITTEN)
    assert [name for name in [*PUBLIC, *METHODS] if not re.search(rf"\b{name}\b", text)] == []


def test_the_api_page_documents_every_public_name() -> None:
    text = page("docs/reference/api.md").text
    documented = re.findall(r"^\.\. \w+:: steve\.(\w+)", text, re.MULTILINE)
    assert sorted({*documented} - {"contrib", "embedded", "migrations", "testing"}) == sorted(steve.__all__)


OF_OTHERS = "docs/how-to/coming-from.md"
"""A page with calls of other packages. What is steve's on it is run by a test."""


def calls_in_code() -> Iterator[tuple[str, str, str]]:
    """(page, what is called, its keyword) for each call in inline code: `manager.create(..., queue="mail")`."""
    innermost = re.compile(r"\b(\w+)\(([^()]*)\)")
    for name in PAGES:
        for code in page(name).inline_code if name != OF_OTHERS else ():
            while call := innermost.search(code):
                called, arguments = call.groups()
                if called in METHODS or called in PUBLIC:
                    yield from ((name, called, keyword) for keyword in re.findall(r"\b(\w+)=", arguments))
                code = code.replace(call.group(), "...", 1)


def test_the_calls_in_inline_code_use_keywords_that_exist() -> None:
    found = list(calls_in_code())
    assert len(found) > 20
    assert [call for call in found if call[2] not in parameters_of(callable_of(call[1]))] == []


# -- values and errors -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind"), [("finding-jobs", Job), ("finding-jobs", Attempt), ("deploys", StopReport), ("health", Health)]
)
def test_a_table_of_fields_has_them_all(name: str, kind: type) -> None:
    named = [field for row in how_to(name).table(kind.__name__) for field in re.findall(r"`(\w+)`", row[0])]
    assert sorted(named) == sorted(field.name for field in fields(kind))


@pytest.mark.parametrize(("first", "kind"), [("Job", Status), ("Attempt", AttemptStatus)])
def test_a_table_of_fields_names_every_status(first: str, kind: type[Status] | type[AttemptStatus]) -> None:
    (row,) = [row for row in how_to("finding-jobs").table(first) if row[0] == "`status`"]
    assert {status.value for status in kind} <= set(re.findall(r"`(\w+)`", row[1]))


def test_the_tree_of_errors_is_that_of_the_code() -> None:
    (block,) = [block for block in page("docs/reference/errors.md").blocks if block.language == "text"]
    on_page = re.findall(r"^\W*(\w+)", block.text, re.MULTILINE)
    public = [getattr(steve, name) for name in PUBLIC]
    in_code = [kind.__name__ for kind in public if isinstance(kind, type) and issubclass(kind, SteveError)]
    assert sorted(on_page) == sorted(in_code)


def test_the_errors_page_speaks_of_calls_and_errors_that_exist() -> None:
    for calls, errors in page("docs/reference/errors.md").table("call"):
        assert [name for name in re.findall(r"`(\w+)`", calls) if name not in {*METHODS, *PUBLIC, *vars(Run)}] == []
        assert [name for name in re.findall(r"`(\w+)`", errors) if name not in PUBLIC] == []


def test_the_glossary_has_the_words_of_the_field() -> None:
    text = page("docs/glossary.md").text
    terms = set(re.findall(r"^([a-z][\w ]*)\n  \S", text, re.MULTILINE))
    words = "job type queue payload handler worker attempt claim lease fence heartbeat rescue settle outcome listener poll"
    assert set(f"{words} notification migration schema lane verdict duty engine liveness".split()) <= terms
    assert [term for term in terms if not re.search(rf"^{term}\n  [^\n]+\n(?:  [^\n]+\n)?(?:\n|```)", text, re.MULTILINE)] == []


# -- commands --------------------------------------------------------------------------------------------------------------


def commands() -> list[str]:
    lines = [line for block in all_blocks("console") for line in block.text.splitlines()]
    assert all(line.startswith("$ ") for line in lines), "a console block shows commands only"
    in_text = [code for page in PAGES.values() for code in page.inline_code if re.match(r"(make|python -m|pip|docker) ", code)]
    return list(dict.fromkeys([*(line.removeprefix("$ ") for line in lines), *in_text]))


@cache
def help_of(*arguments: str) -> str:
    process = subprocess.run(
        [sys.executable, "-m", *arguments, "--help"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    return process.stdout


def options_of(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text))


TOOLS = {
    "bench": ("tests.benchmarks",),
    "chaos": ("tests.chaos",),
    "demo": ("steve", "demo"),
    "mutants": ("tests.mutants",),
    "test": ("pytest",),
}
"""What a target of the Makefile passes ARGS to."""


def check_make(target: str, assignments: list[str]) -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert re.search(rf"^{target}:", makefile, re.MULTILINE)
    for name, _, value in (assignment.partition("=") for assignment in assignments):
        assert f"$({name})" in makefile, name
        if name == "ARGS":
            assert options_of(value) <= options_of(help_of(*TOOLS[target]))
            assert [word for word in value.split() if word.startswith("tests/") and not (ROOT / word).exists()] == []


def check_pip(requirements: list[str]) -> None:
    for requirement in requirements:
        name, extra = re.fullmatch(r"([\w.-]+)(?:\[(\w+)\])?", requirement).groups()
        installed = [*PYPROJECT["optional-dependencies"]["dev"], *chain(*(version.packages for version in VERSIONS))]
        tested = [re.split(r"[\[><=;]", one)[0] for one in installed]
        assert name in (".", PYPROJECT["name"], *tested)
        assert extra is None or extra in PYPROJECT["optional-dependencies"]


def is_application(name: str) -> bool:
    """`shop.app:app` is a variable of a file on some page."""
    module, _, variable = name.partition(":")
    file = module.replace(".", "/") + ".py"
    return any(block.file == file and f"\n{variable} = " in block.text for block in all_blocks("python"))


def has_file(name: str) -> bool:
    return any(block.file and block.file.endswith(name) for block in all_blocks("python"))


def typed_by(*names: str) -> list[str]:
    return [line.removeprefix("$ ") for name in names for block in how_to(name).blocks for line in block.text.splitlines()]


@pytest.mark.parametrize("command", commands())
def test_a_command_on_a_page_exists(command: str) -> None:
    for part in command.split(" | "):
        words = shlex.split(part)
        while re.match(r"[A-Z_]+=", words[0]):
            words.pop(0)
        match words:
            case ["make", target, *assignments]:
                check_make(target, assignments)
            case ["export", _]:
                pass
            case ["steve", *arguments] | ["python", "-m", "steve", *arguments]:
                deep = 2 if arguments[:1] in (["jobs"], ["queues"], ["schedules"]) else 1
                command_names = arguments[:deep] if arguments and not arguments[0].startswith("--") else []
                assert options_of(part) <= options_of(help_of("steve", *command_names))
            case ["pip" | ".venv/bin/pip", "install", *requirements]:
                check_pip(requirements)
            case ["python3", "-m", "venv", _]:
                assert importlib.util.find_spec("venv")
            case ["python", "-m", "pytest", *settings, "tests"]:
                assert has_file("tests/conftest.py")
                assert all(is_application(one.partition("=")[2]) for one in settings if one != "-o")
            case ["python", "manage.py", "steve", name, *arguments]:
                parser = DjangoCommand().create_parser("manage.py", "steve")
                assert parser.parse_args([name, *arguments]).command == name
            case ["python", "manage.py", name, *_]:  # tests/contrib/django/test_page.py types those that have arguments
                assert name in {*get_commands(), "createsuperuser"}
            case ["." | "createdb" | "django-admin", *_]:
                assert part in typed_by("django")
            case ["python" | ".venv/bin/python", file]:
                assert has_file(file)
            case ["psql", database]:
                assert conninfo_to_dict(database)
            case ["docker", "compose", *_]:
                # the comment in compose.yaml has been tried with Docker; the page says the same
                assert part in (ROOT / "compose.yaml").read_text()
            case ["gunicorn", "--workers", _, application]:
                assert is_application(application)
                assert "--workers" in help_of("gunicorn")
            case ["gunicorn", "--workers", _, "--preload", "shop:create_app()"]:
                assert "--preload" in help_of("gunicorn")
            case ["flask", "--app", "shop", "steve", name, *arguments]:
                flask_commands.commands[name].make_context(name, list(arguments))
            case ["alembic", *_] | ["python", "-c", _]:
                assert part in typed_by("flask", "alembic")  # tests/contrib/flask/test_pages.py
            case ["uvicorn", application]:
                assert is_application(application)
                assert importlib.util.find_spec("uvicorn")
            case _:
                pytest.fail("nothing says how to check this command")


@pytest.mark.parametrize("name", ["migrate", "grants", "prune"])
def test_a_table_of_options_is_that_of_the_command(name: str) -> None:
    on_page = [row[0] for row in page("docs/reference/command-line.md").table("option", name)]
    in_code = help_of("steve", name)
    assert {option.strip("`").split()[0] for option in on_page} == options_of(in_code) - {"--help"}
    assert [option for option in on_page if option.strip("`") not in in_code] == []


def test_every_command_has_a_section() -> None:
    names = re.findall(r"^    (\w+)\b", help_of("steve"), re.MULTILINE)
    assert {"migrate", "demo"} <= set(names)
    assert [name for name in names if name not in page("docs/reference/command-line.md").sections] == []


def test_the_tests_database_of_the_page_is_that_of_compose_yaml() -> None:
    (url,) = set(re.findall(r"STEVE_TEST_DATABASE_URL=(\S+) make", page("docs/contributing.md").text))
    assert url in (ROOT / "compose.yaml").read_text()


# -- what no other test looks at -------------------------------------------------------------------------------------------


def test_every_block_is_in_a_language_that_a_test_checks() -> None:
    blocks = [block for name in PAGES for block in page(name).blocks]
    assert {block.language for block in blocks} <= {"python", "console", "sql", "plpgsql", "text", "ini", "dockerfile", "yaml"}
    files = {block.page for block in blocks if block.language in ("ini", "dockerfile", "yaml")}
    assert files == {"docs/how-to/supervisors.md"}, "tests/cli/test_supervisors.py looks at them"
    texts = {block.page for block in blocks if block.language == "text"}
    checked = {f"docs/how-to/{name}.md" for name in ("creating-jobs", "failover", "probes", "tasks", "testing")}
    checked |= {"docs/reference/errors.md", README}
    assert texts - {"docs/internals.md"} == checked, "a picture of threads is all that is not checked"


# -- figures and files -----------------------------------------------------------------------------------------------------


def test_the_figures_of_the_readme_are_those_of_the_performance_page() -> None:
    measured = page("docs/performance.md").text
    rows = page(README).table("figure")
    assert len(rows) == 5
    for row in rows:
        figures = re.findall(r"\d[\d,.]*\d(?: jobs/s| ms)?", " ".join(row[1:]))
        assert figures
        assert [figure for figure in figures if figure not in measured] == []


def test_the_reliability_figures_of_the_readme_are_those_of_the_round() -> None:
    faults, jobs = re.findall(r"(\d+) kinds of fault, ([\d,]+) jobs", page(README).text)[0]
    assert re.search(
        rf"^{faults} faults, [\d,]+ trials, {jobs} jobs: nothing lost", page("docs/reliability.md").text, re.MULTILINE
    )


def test_the_figures_of_a_release_have_their_place() -> None:
    assert re.search(r"^<!-- bench -->\n.+\n<!-- /bench -->$", page("docs/performance.md").text, re.MULTILINE | re.DOTALL)


def test_the_files_that_the_internals_name_exist() -> None:
    """By their path under steve/, except statements, which are named like in the code: sql/x.sql."""
    named = re.findall(r"`((?:[\w/]+/)?[\w*]+(?:\.(?:py|sql)|/))`", page("docs/internals.md").text)
    places = [name.removeprefix("steve/").replace("sql/", "_database/sql/", name.startswith("sql/")) for name in named]
    missing = [place for place in places if not (ROOT / "steve" / place).exists()]
    assert len(named) > 30
    assert missing == []


def test_the_packages_that_frozen_time_must_leave_alone_exist() -> None:
    (block,) = [block for block in how_to("testing").blocks if block.language == "text"]
    names = re.findall(r'"(\w+)"', block.text)
    assert names
    assert [name for name in names if importlib.util.find_spec(name) is None] == []


def test_the_page_on_why_lists_every_code_and_no_other() -> None:
    sources = (ROOT / "steve/_model/why").glob("*.py")
    in_code = {code for file in sources for code in re.findall(r'Reason\(\s*"(\w+)"', file.read_text())}
    assert len(in_code) > 14
    assert set(re.findall(r"^\| `(\w+)` \|", page("docs/why.md").text, re.MULTILINE)) == in_code
