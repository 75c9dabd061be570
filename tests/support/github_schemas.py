"""The JSON Schemas of GitHub's records, and reading its reports as their consumers do."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator, TypeChecker, validators

from tree import ROOT

SCHEMAS = ROOT / "docs" / "schemas"
Json = dict[str, Any]


def _is_strict_integer(_: TypeChecker, value: object) -> bool:
    """Reject 1.0 as an integer, as some consumers do; JSON Schema accepts it."""
    return isinstance(value, int) and not isinstance(value, bool)


_Strict = validators.extend(  # type: ignore[no-untyped-call]  # the package's stubs lack it
    Draft202012Validator,
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine("integer", _is_strict_integer),
)


@cache
def validator(name: str) -> Any:
    """The validator for the schema of this name."""
    schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    whole = _resolved(schema, schema["$defs"])
    return _Strict(whole, format_checker=Draft202012Validator.FORMAT_CHECKER)


def _resolved(part: Any, definitions: Json) -> Any:
    """The part of a schema with each reference replaced by its definition, which halves the time of
    a validation.
    """
    if isinstance(part, list):
        return [_resolved(each, definitions) for each in part]
    if not isinstance(part, dict):
        return part
    own = {key: _resolved(each, definitions) for key, each in part.items() if key[0] != "$"}
    if "$ref" not in part:
        return own
    definition = _resolved(definitions[part["$ref"].removeprefix("#/$defs/")], definitions)
    return {**own, "allOf": [definition, *own.get("allOf", [])]} if own else definition


@cache
def _validate(name: str, line: bytes) -> None:
    """Cached: many tests read the same lines, and validating one takes a millisecond."""
    validator(name).validate(json.loads(line))


def user_records(report: bytes) -> list[Json]:
    """The records of a report on users: one valid, compact object per line."""
    lines = _lines(report)
    for line in lines:
        _validate("github-user-record", line)
    return [_compact(line) for line in lines]


def whole_record(report: bytes) -> Json:
    """The one valid object, on one line, of a report on an enterprise or organization."""
    (line,) = _lines(report)
    _validate("github-enterprise-record", line)
    return _compact(line)


def team_rows(report: bytes) -> list[Json]:
    """The rows of a report on teams: one compact object per line, of six fields."""
    rows = [_compact(line) for line in _lines(report)]
    for row in rows:
        (entity,) = row.keys() - {"user_id", "user_login", "day", "team_id", "slug"}
        assert entity in {"enterprise_id", "organization_id"}
        assert {type(row[name]) for name in ("user_id", "team_id")} == {int}
        assert {type(row[name]) for name in ("user_login", "day", "slug", entity)} == {str}
        assert 0 < row["user_id"] < 2**31
        assert 0 < row["team_id"] < 2**31
    return rows


def _lines(report: bytes) -> list[bytes]:
    assert report == b"" or report.endswith(b"\n")
    return report.split(b"\n")[:-1]


def _compact(line: bytes) -> Json:
    record: Json = json.loads(line)
    assert line == json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode()
    return record
