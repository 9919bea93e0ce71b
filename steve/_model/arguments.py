"""The arguments of a task as a payload, and a payload as arguments. `codec.py` converts the single values.

A payload has an item for each parameter, by its name; those of `*args` are a list, those of `**kwargs` an object.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from inspect import Parameter
from typing import Any

from steve._model.codec import Codec, NoCodec, apply, codec_for, hints_of
from steve._model.json import Flaw


class NotDecodable(Exception):
    """A payload does not fit the parameters of a task. The message names the parameter."""


class Arguments:
    def __init__(self, function: Callable[..., Any], name: str) -> None:
        """`name`: what errors call the task. Raises TypeError if Python cannot tell the function's parameters."""
        try:
            self._signature = inspect.signature(function)
        except ValueError:
            raise TypeError(f"the parameters of {name} cannot be told: wrap it in a function with a signature") from None
        self._function = function
        self._name = name
        self._parameters = self._signature.parameters

    @functools.cached_property
    def _codecs(self) -> dict[str, Codec | None]:
        """By parameter. It is made when it is first needed, because annotations may name what is defined later."""
        try:
            hints = hints_of(self._function)
        except NoCodec as flaw:
            raise TypeError(f"{self._name} {flaw}") from None
        codecs = {}
        for name in self._parameters:
            try:
                codecs[name] = codec_for(hints.get(name, Any))
            except NoCodec as flaw:
                raise TypeError(f"the parameter {name} of {self._name} {flaw}") from None
        return codecs

    def encode(self, positional: tuple[Any, ...], keywords: dict[str, Any]) -> dict[str, Any]:
        """The payload for these arguments, with the defaults of the others. Raises TypeError."""
        try:
            bound = self._signature.bind(*positional, **keywords)
        except TypeError as error:
            raise TypeError(f"{self._name}: {error}") from None
        bound.apply_defaults()
        try:
            return {name: self._convert("encode", name, value) for name, value in bound.arguments.items()}
        except Flaw as flaw:
            raise TypeError(f"{self._name}: {_placed(flaw)}") from None
        except NoCodec as flaw:
            raise TypeError(f"{self._name}: a class among its parameters {flaw}") from None

    def decode(self, payload: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """The positional and the keyword arguments. Raises NotDecodable."""
        if unknown := [name for name in payload if name not in self._parameters]:
            raise NotDecodable(f"the payload has {unknown[0][:60]!r}, and {self._name} has no such parameter")
        positional: list[Any] = []
        keywords: dict[str, Any] = {}
        for name, parameter in self._parameters.items():
            if name in payload:
                try:
                    value = self._convert("decode", name, payload[name])
                except Flaw as flaw:
                    raise NotDecodable(f"{_placed(flaw)}, the parameter of {self._name}") from None
            elif parameter.default is not Parameter.empty:  # a job that older code created
                value = parameter.default
            elif parameter.kind in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD):
                continue
            else:
                raise NotDecodable(f"the payload lacks {name!r}, a parameter of {self._name}")
            match parameter.kind:
                case Parameter.VAR_POSITIONAL:
                    positional += value
                case Parameter.VAR_KEYWORD:
                    keywords |= value
                case Parameter.KEYWORD_ONLY:
                    keywords[name] = value
                case _:
                    positional.append(value)
        return positional, keywords

    def _convert(self, direction: str, name: str, value: Any) -> Any:
        codec = self._codecs[name]
        try:
            match self._parameters[name].kind:
                case Parameter.VAR_POSITIONAL:
                    if not isinstance(value, (list, tuple)):
                        raise Flaw("is no list")
                    return [apply(codec, direction, item, step) for step, item in enumerate(value)]
                case Parameter.VAR_KEYWORD:
                    if not isinstance(value, dict):
                        raise Flaw("is no object")
                    return {key: apply(codec, direction, item, key) for key, item in value.items()}
            return value if codec is None else getattr(codec, direction)(value)
        except Flaw as flaw:
            flaw.steps.append(name)
            raise


def _placed(flaw: Flaw) -> str:
    """`order["items"][3] is a str, not a datetime`: the last step is the parameter."""
    return flaw.at(str(flaw.steps.pop()))
