"""Counting a text that comes in pieces: as if it had come at once."""

import pytest

from steve.demo.measure import Text


@pytest.mark.parametrize(
    ("text", "lines", "words"),
    [
        ("", 0, 0),
        ("one", 1, 1),
        ("one\n", 1, 1),
        ("one two\nthree", 2, 3),
        ("\n\n  \n", 3, 0),
        ("  a  b  ", 1, 2),
        ("é\u2003ü\r\nx\n", 2, 3),
    ],
)
def test_pieces_count_as_the_whole(text: str, lines: int, words: int) -> None:
    for cut in range(len(text) + 1):
        counted = Text()
        for piece in (text[:cut], text[cut : cut + 1], "", text[cut + 1 :]):
            counted.add(piece)
        assert (counted.lines, counted.words, counted.ascii) == (lines, words, text.isascii())
