"""What is kept of a run: levels, and who decides. And what a line may hold."""

import json
from typing import Any

import pytest

from steve._model.capture import NOTHING, Capture, capture_of, check_level, check_prints
from steve._model.log_text import LINE_MOST, chunk, encoded, left_out, printed


@pytest.mark.parametrize(
    ("given", "level"),
    [("INFO", 20), ("debug", 10), ("CRITICAL", 50), (0, 0), (25, 25), (None, None), (False, NOTHING)],
)
def test_levels(given: Any, level: int | None) -> None:
    assert check_level(given) == level


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ("LOUD", ValueError, "capture_logs must be one of DEBUG, INFO, WARNING, ERROR, CRITICAL, a number, False or None"),
        ("", ValueError, "capture_logs must be one of"),
        (True, TypeError, 'capture_logs must be a level such as "INFO", False or None, not bool'),
        (1.5, TypeError, "not float"),
        (-1, ValueError, "capture_logs must be 0 or more, not -1"),
        (b"INFO", TypeError, "not bytes"),
    ],
)
def test_what_is_no_level(given: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        check_level(given)


@pytest.mark.parametrize("given", ["yes", 1, 0])
def test_what_does_not_say_whether_to_keep_prints(given: Any) -> None:
    with pytest.raises(TypeError, match="capture_print must be True, False or None"):
        check_prints(given)


@pytest.mark.parametrize(
    ("manager", "handler", "kept"),
    [
        ((None, False), (None, None), None),
        ((20, False), (None, None), Capture(20, False)),
        ((20, False), (10, None), Capture(10, False)),
        ((20, True), (NOTHING, None), Capture(NOTHING, True)),
        ((20, True), (NOTHING, False), None),
        ((None, False), (None, True), Capture(NOTHING, True)),
        ((None, False), (0, None), Capture(0, False)),
    ],
)
def test_a_handler_has_the_last_word(manager: Any, handler: Any, kept: Capture | None) -> None:
    assert capture_of(*manager, *handler) == kept


@pytest.mark.parametrize(
    ("message", "kept"),
    [
        ("plain", "plain"),
        ("", ""),
        ("a\0b", "a\ufffdb"),
        ("\ud800 and \udfff", "\ufffd and \ufffd"),
        ("\U0001f600 é \t\n", "\U0001f600 é \t\n"),
        ('"quoted" \\ back', '"quoted" \\ back'),
    ],
)
def test_any_message_becomes_text_that_postgresql_can_hold(message: str, kept: str) -> None:
    line = encoded(1.5, "INFO", "a", message)
    assert line.isascii()
    assert "\\u0000" not in line
    assert json.loads(line) == [1_500_000, "INFO", "a", kept]


@pytest.mark.parametrize("character", ["x", "é", "\U0001f600"])
def test_of_a_very_long_message_both_ends_are_kept(character: str) -> None:
    message = "begin " + character * 1_000_000 + " end"
    line = encoded(0.0, "INFO", "a", message)
    text = json.loads(line)[3]
    assert text.startswith("begin ")
    assert text.endswith(" end")
    assert "characters left out" in text
    assert len(line) <= 2 * LINE_MOST + 200
    missing = int(text.split("... ")[1].split()[0])
    assert missing + len(text) - len(f"\n... {missing} characters left out ...\n") == len(message)


def test_lines_follow_one_another_in_a_chunk() -> None:
    one = chunk(7, [encoded(0.0, "INFO", "a", "b"), encoded(1.0, "INFO", "a", "c")])
    assert (one.first, one.last) == (7, 8)
    assert [line[3] for line in json.loads(one.text)] == ["b", "c"]


def test_printed_text_is_divided_at_line_breaks_only() -> None:
    assert printed("a\rb\n\nc\r\nd\x0be\u2028f") == ["a\rb", "", "c", "d\x0be\u2028f"]
    assert printed("a\n") == ["a", ""]


def test_what_stands_for_lines_left_out() -> None:
    assert left_out(1) == "... 1 line left out ..."
    assert left_out(12_345) == "... 12,345 lines left out ..."
