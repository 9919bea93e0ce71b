"""Turns a value into JSON and back, by the annotation of the parameter that it is for.

A codec is made for dataclasses, named tuples, TypedDicts, pydantic models, enums, datetime, date, time, timedelta, UUID and
Decimal, and for lists, tuples, sets, dicts and `| None` of these. Values of all other annotations stay as they are: JSON can
hold them, or `json.py` refuses them. There are fine libraries for this (cattrs, msgspec, pydantic), but steve's core may depend
on psycopg alone.

Errors name the place of a value, never the value.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import functools
import sys
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, Flag
from typing import Any, NamedTuple
from uuid import UUID

from steve._model.json import Flaw


class Codec(NamedTuple):
    """Both raise Flaw."""

    encode: Callable[[Any], Any]
    decode: Callable[[Any], Any]


class NoCodec(TypeError):
    """There cannot be a codec for an annotation. The message is a clause: `is a union of ...`."""


Codecs = Mapping[str, Codec | None]

_LISTS = {
    list,
    collections.abc.Iterable,
    collections.abc.Collection,
    collections.abc.Sequence,
    collections.abc.MutableSequence,
}
_SETS = {set: set, frozenset: frozenset, collections.abc.Set: frozenset, collections.abc.MutableSet: set}
_DICTS = {dict, collections.abc.Mapping, collections.abc.MutableMapping}


def codec_for(annotation: Any) -> Codec | None:
    """None: a value of this annotation stays as it is. Raises NoCodec."""
    while hasattr(annotation, "__supertype__") or isinstance(annotation, getattr(typing, "TypeAliasType", ())):
        annotation = getattr(annotation, "__supertype__", None) or annotation.__value__  # a NewType, or `type X = ...`
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Annotated, typing.Required, typing.NotRequired):
        return codec_for(arguments[0])
    if origin in (typing.Union, types.UnionType):
        return _union(arguments)
    if origin is typing.Literal:
        return _union(tuple({type(value) for value in arguments}))
    kind: Any = origin or annotation
    if not isinstance(kind, type):
        return None  # Any, a TypeVar
    if typing.is_typeddict(kind):
        return _typed_dict(kind)
    if kind in _SCALARS:
        return _SCALARS[kind]
    if issubclass(kind, Enum):
        return _enum(kind)
    if dataclasses.is_dataclass(kind):
        return _dataclass(kind)
    if issubclass(kind, tuple):
        return _named_tuple(kind) if hasattr(kind, "_fields") else _tuple(arguments)
    if _is_pydantic(kind):
        return _pydantic(typing.cast(Any, kind))
    return _collection(kind, arguments)


def hints_of(owner: Any) -> dict[str, Any]:
    """The annotations of a function or a class. Raises NoCodec if they name what does not exist at run time."""
    try:
        return typing.get_type_hints(owner, include_extras=True)
    except NameError as error:
        raise NoCodec(f"has an annotation that cannot be resolved ({error}): import it outside `if TYPE_CHECKING`") from None


def apply(codec: Codec | None, direction: str, value: Any, step: str | int) -> Any:
    """Encode or decode a value that stands at `step` in another one."""
    if codec is None:
        return value
    try:
        return getattr(codec, direction)(value)
    except Flaw as flaw:
        flaw.steps.append(step)
        raise


# -- one value ----------------------------------------------------------------------------------------------------------


def _scalar(
    kind: type, encode: Callable[[Any], Any], decode: Callable[[Any], Any], json: type | tuple[type, ...] = str
) -> Codec:
    """`json`: the types that the encoded value may have."""

    def check(value: Any) -> Any:
        if not isinstance(value, kind) or (kind is date and isinstance(value, datetime)):
            raise _mismatch(value, kind)
        return encode(value)

    def restore(value: Any) -> Any:
        if not isinstance(value, json) or isinstance(value, bool):
            raise _mismatch(value, kind)
        try:
            return decode(value)
        except (ValueError, ArithmeticError, TypeError):
            raise Flaw(f"does not hold {_a(kind)}") from None

    return Codec(check, restore)


_SCALARS: dict[type, Codec] = {
    datetime: _scalar(datetime, lambda value: value.isoformat(), datetime.fromisoformat),
    date: _scalar(date, lambda value: value.isoformat(), date.fromisoformat),
    time: _scalar(time, lambda value: value.isoformat(), time.fromisoformat),
    timedelta: _scalar(
        timedelta, lambda value: value.total_seconds(), lambda value: timedelta(seconds=value), (int, float)
    ),
    UUID: _scalar(UUID, str, UUID),
    Decimal: _scalar(Decimal, str, lambda value: Decimal(str(value)), (str, int, float)),
}  # fmt: skip


@functools.cache
def _enum(kind: type[Enum]) -> Codec:
    """By value where JSON holds all values, because the payload is read by others too; otherwise by name."""
    by_value = issubclass(kind, Flag) or all(isinstance(one.value, (str, int, float)) for one in kind)

    def encode(value: Any) -> Any:
        if not isinstance(value, kind):
            raise _mismatch(value, kind)
        return value.value if by_value else value.name

    def decode(value: Any) -> Any:
        try:
            return kind(value) if by_value else kind[value]
        except (ValueError, KeyError, TypeError):
            raise Flaw(f"is no {kind.__name__}") from None

    return Codec(encode, decode)


def _is_pydantic(kind: type) -> bool:
    """Whether it is a model of pydantic, which must have been imported then, and is not imported here."""
    pydantic = sys.modules.get("pydantic")
    base = getattr(pydantic, "BaseModel", None)
    return isinstance(base, type) and issubclass(kind, base) and hasattr(kind, "model_validate")


@functools.cache
def _pydantic(kind: Any) -> Codec:
    def encode(value: Any) -> Any:
        if type(value) is not kind:
            raise _mismatch(value, kind)
        return value.model_dump(mode="json", by_alias=True, round_trip=True)

    def decode(value: Any) -> Any:
        try:
            return kind.model_validate(value)
        except ValueError as error:  # pydantic's message quotes the values
            raise Flaw(f"is no {kind.__name__}: {_places(error)}") from None

    return Codec(encode, decode)


def _places(error: Any) -> str:
    try:
        details = error.errors(include_url=False, include_context=False, include_input=False)
        found = [f"{'.'.join(map(str, one['loc'])) or 'it'} ({one['type']})" for one in details]
    except Exception:  # another ValueError, which a validator raised
        return type(error).__name__
    return ", ".join(found[:5])


# -- values with fields ---------------------------------------------------------------------------------------------------


@functools.cache
def _dataclass(kind: Any) -> Codec:
    @functools.cache
    def codecs() -> Codecs:  # when they are needed: a field may be of the class itself
        hints = hints_of(kind)
        return {field.name: codec_for(hints[field.name]) for field in dataclasses.fields(kind) if field.init}

    def encode(value: Any) -> Any:
        if type(value) is not kind:  # an object of a subclass would come back as one of the base
            raise _mismatch(value, kind)
        return {name: apply(codec, "encode", getattr(value, name), name) for name, codec in codecs().items()}

    return Codec(encode, lambda value: _construct(kind, codecs(), value))


@functools.cache
def _named_tuple(kind: Any) -> Codec:
    @functools.cache
    def codecs() -> Codecs:
        hints = hints_of(kind)
        return {name: codec_for(hints.get(name, Any)) for name in kind._fields}

    def encode(value: Any) -> Any:
        if type(value) is not kind:
            raise _mismatch(value, kind)
        return {name: apply(codec, "encode", getattr(value, name), name) for name, codec in codecs().items()}

    return Codec(encode, lambda value: _construct(kind, codecs(), value))


@functools.cache
def _typed_dict(kind: Any) -> Codec:
    """Names that the type does not declare stay as they are: a TypedDict does not forbid them."""

    @functools.cache
    def codecs() -> Codecs:
        return {name: codec_for(hint) for name, hint in hints_of(kind).items()}

    def convert(direction: str, value: Any) -> Any:
        if not isinstance(value, dict):
            raise _mismatch(value, dict)
        return {name: apply(codecs().get(name), direction, item, name) for name, item in value.items()}

    return Codec(functools.partial(convert, "encode"), functools.partial(convert, "decode"))


def _construct(kind: Any, codecs: Codecs, value: Any) -> Any:
    if not isinstance(value, dict):
        raise _mismatch(value, kind)
    if unknown := [name for name in value if name not in codecs]:
        raise Flaw(f"has a field that {kind.__name__} has not: {unknown[0][:60]}")
    values = {name: apply(codecs[name], "decode", item, name) for name, item in value.items()}
    try:
        return kind(**values)
    except Exception as error:  # a field is missing, or the class refuses a value
        raise Flaw(f"does not make {_a(kind)}: {type(error).__name__[:60]}") from None


# -- values that hold others ----------------------------------------------------------------------------------------------


def _union(members: tuple[Any, ...]) -> Codec | None:
    """JSON has lost the type, so of a union that needs a codec only `X | None` can be told apart."""
    others = [member for member in members if member not in (None, types.NoneType)]
    codecs = [codec_for(member) for member in others]
    if not any(codecs):
        return None
    if len(others) > 1:
        names = " and ".join(getattr(other, "__name__", str(other)) for other in others)
        raise NoCodec(f"is a union of {names}, which JSON cannot tell apart: use one of them, or a dataclass")
    codec = codecs[0]
    assert codec is not None
    return Codec(
        lambda value: None if value is None else codec.encode(value),
        lambda value: None if value is None else codec.decode(value),
    )


def _tuple(items: tuple[Any, ...]) -> Codec:
    """JSON makes a list of a tuple, so every tuple needs a codec."""
    if len(items) == 2 and items[1] is Ellipsis:
        codec = codec_for(items[0])
        return Codec(functools.partial(_each, codec, "encode", list), functools.partial(_each, codec, "decode", tuple))
    codecs = [codec_for(item) for item in items]
    has_items = bool(items)

    def convert(direction: str, make: Callable[[Iterable[Any]], Any], value: Any) -> Any:
        if not isinstance(value, (list, tuple)):
            raise _mismatch(value, tuple)
        if not has_items:
            return make(value)
        if len(value) != len(codecs):
            raise Flaw(f"has {len(value)} items, not {len(codecs)}")
        pairs = enumerate(zip(codecs, value, strict=True))
        return make(apply(codec, direction, item, step) for step, (codec, item) in pairs)

    return Codec(functools.partial(convert, "encode", list), functools.partial(convert, "decode", tuple))


def _collection(kind: Any, arguments: tuple[Any, ...]) -> Codec | None:
    if kind in _DICTS:
        return _dict(*arguments) if arguments else None
    item = codec_for(arguments[0]) if arguments else None
    if kind in _SETS:
        return Codec(functools.partial(_each, item, "encode", list), functools.partial(_each, item, "decode", _SETS[kind]))
    if kind in _LISTS and item is not None:
        return Codec(functools.partial(_each, item, "encode", list), functools.partial(_each, item, "decode", list))
    return None


def _each(codec: Codec | None, direction: str, make: Callable[[Iterable[Any]], Any], value: Any) -> Any:
    is_right = isinstance(value, list) if direction == "decode" else isinstance(value, collections.abc.Iterable)
    if not is_right or isinstance(value, (str, bytes, Mapping)):
        raise _mismatch(value, list)
    items = [apply(codec, direction, item, step) for step, item in enumerate(value)]
    try:
        return make(items)
    except TypeError:  # an item of a set
        raise Flaw("has an item that cannot be in a set") from None


def _dict(keys: Any, items: Any) -> Codec | None:
    key = codec_for(keys)
    if keys is int:
        key = _scalar(int, str, int)
    item = codec_for(items)
    if key is None and item is None:
        return None

    def convert(direction: str, value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise _mismatch(value, dict)
        return {
            apply(key, direction, name, str(name)[:40]): apply(item, direction, one, str(name)[:40])
            for name, one in value.items()
        }

    return Codec(functools.partial(convert, "encode"), functools.partial(convert, "decode"))


def _mismatch(value: Any, kind: Any) -> Flaw:
    return Flaw(f"is {_a(type(value))}, not {_a(kind)}")


def _a(kind: Any) -> str:
    name = kind.__name__[:60]
    return f"an {name}" if name[0] in "aeioAEIO" else f"a {name}"
