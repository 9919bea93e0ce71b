"""Hides passwords, tokens and the like in a payload, at any depth, by their names."""

from __future__ import annotations

import re
from typing import Any

HIDDEN = "[hidden]"
SECRET = re.compile(
    r"pass(word|wd|phrase)|pwd|secret|token|api.?key|private.?key|authori[sz]ation|cookie|credential|credit.?card|card.?num|"
    r"cvc|cvv|iban|ssn",
    re.IGNORECASE,
)


def redacted(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: HIDDEN if SECRET.search(str(name)) else redacted(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [redacted(one) for one in value]
    return value
