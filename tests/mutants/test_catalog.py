"""Checks that every mutant still fits the code: a change that removes a mutant's text, or renames its test, fails here."""

import ast
from pathlib import Path

import pytest

from tests.child import ROOT

from .catalog import MUTANTS, Edit, Misfit, Mutant
from .trial import CONTROL


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.id)
def test_a_mutant_changes_what_it_says_and_python_can_read_it_still(mutant: Mutant) -> None:
    texts: dict[str, str] = {}
    for edit in mutant.edits:
        before = texts.get(edit.file) or (ROOT / "steve" / edit.file).read_text()
        texts[edit.file] = edit.made_in(before)
        assert texts[edit.file] != before
    for file, text in texts.items():
        if file.endswith(".py"):
            ast.parse(text)


@pytest.mark.parametrize("test", sorted({CONTROL, *(mutant.test for mutant in MUTANTS)}))
def test_the_test_that_a_mutant_names_is_there(test: str) -> None:
    file, _, name = test.partition("[")[0].partition("::")
    body = ast.parse((ROOT / "tests" / file).read_text()).body
    assert name in [node.name for node in body if isinstance(node, ast.FunctionDef)]


def test_no_two_mutants_have_one_name() -> None:
    ids = [mutant.id for mutant in MUTANTS]
    assert sorted(set(ids)) == sorted(ids)


@pytest.mark.parametrize("text", ["", "once is enough: once"])
def test_a_text_that_is_not_there_or_there_twice_is_an_error(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(text)
    with pytest.raises(Misfit, match=r"M0: steve/a.py holds this [02] times, not once: 'once'"):
        Mutant("M0", "nothing", "none", Edit("a.py", "once", "twice")).apply(tmp_path)
    assert (tmp_path / "a.py").read_text() == text
