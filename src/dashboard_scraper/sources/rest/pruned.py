"""Splits JSON into what a struct has fields for and what it has not, at every depth."""

from __future__ import annotations

import typing
from typing import Any

import msgspec

_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])
_ANYTHING = msgspec.json.Decoder()


def pruned(kind: Any, raw: msgspec.Raw) -> tuple[msgspec.Raw, dict[str, Any]]:
    """The JSON of an object without the fields that the struct `kind` and the structs within it
    lack; and these fields, with dots in their names. In a list of structs, a field has one name for
    all of them.

    A value that is not an object although `kind` has a struct there stays for the decoder to
    refuse. Raises what decoders raise.
    """
    if bytes(raw).lstrip()[:1] != b"{":
        return raw, {}
    known: dict[str, msgspec.Raw] = {}
    unknown: dict[str, Any] = {}
    kinds = {field.encode_name: field.type for field in msgspec.structs.fields(kind)}
    for name, value in _OBJECT.decode(raw).items():
        if name not in kinds:
            unknown[name] = _ANYTHING.decode(value)
            continue
        known[name], within = _within(kinds[name], value)
        unknown |= {f"{name}.{inner}": each for inner, each in within.items()}
    return msgspec.Raw(msgspec.json.encode(known)), unknown


def _within(kind: Any, raw: msgspec.Raw) -> tuple[msgspec.Raw, dict[str, Any]]:
    if _is_struct(kind):
        return pruned(kind, raw)
    item = next(iter(typing.get_args(kind)), None)
    if typing.get_origin(kind) is not list or not _is_struct(item):
        return raw, {}
    if bytes(raw).lstrip()[:1] != b"[":
        return raw, {}
    parts = [pruned(item, each) for each in _ARRAY.decode(raw)]
    unknown = {name: value for _, within in parts for name, value in within.items()}
    return msgspec.Raw(msgspec.json.encode([known for known, _ in parts])), unknown


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)
