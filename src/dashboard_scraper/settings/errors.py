"""Messages about wrong settings; what is allowed is derived from the field itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import NoneType
from typing import Literal, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo

_LONGEST_VALUE = 60
_OWN_MESSAGE = "Value error, "


def explained(
    error: ValidationError, fields: Mapping[str, FieldInfo], origin_of: Callable[[str], str]
) -> str:
    """One message for all errors; `origin_of` returns where a name was set."""
    lines = []
    for problem in error.errors():
        if not problem["loc"]:  # it concerns several settings, and names them
            lines.append(problem["msg"].removeprefix(_OWN_MESSAGE))
            continue
        field = str(problem["loc"][0])
        name, own = field.upper(), problem["msg"].startswith(_OWN_MESSAGE)
        words = None if own else allowed(fields[field])
        # A URL may contain a password; every other value may be quoted.
        shown = "" if name.endswith(("_URL", "_TOKEN")) else f"={_short(problem['input'])}"
        message = f"write {words}" if words else problem["msg"].removeprefix(_OWN_MESSAGE)
        lines.append(f"{name}{shown}: {message} ({origin_of(name)})")
    return f"wrong setting: {'; '.join(lines)}"


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."


def allowed(field: FieldInfo) -> str | None:
    """What the field accepts, in words; None if its own check has a message."""
    kind = _without_none(field.annotation)
    if kind is bool:
        return "true or false"
    if kind in (int, float):
        return f"a {'whole ' if kind is int else ''}number{_bounds(field)}"
    if get_origin(kind) is Literal:
        *first, last = get_args(kind)
        return f"{', '.join(first)} or {last}"
    return None


def _without_none(kind: object) -> object:
    """The type of an optional setting's value."""
    kinds = [each for each in get_args(kind) if each is not NoneType]
    return kinds[0] if NoneType in get_args(kind) and len(kinds) == 1 else kind


def _bounds(field: FieldInfo) -> str:
    bounds = {
        key: getattr(rule, key)
        for rule in field.metadata
        for key in ("ge", "gt", "le", "lt")
        if getattr(rule, key, None) is not None
    }
    words = {"ge": "from {:g}", "gt": "above {:g}", "le": "to {:g}", "lt": "below {:g}"}
    if "gt" in bounds:
        words["le"] = "up to {:g}"
    parts = [words[key].format(bounds[key]) for key in words if key in bounds]
    return f" {' '.join(parts)}" if parts else ""
