"""The JSON Schemas of GitHub's records, and reading its reports as their consumers do."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

SCHEMAS = Path(__file__).parents[1] / "docs" / "schemas"
Json = dict[str, Any]


@cache
def validator(name: str) -> Draft202012Validator:
    schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)


def user_records(report: bytes) -> list[Json]:
    """The records of a report on users: one valid, compact object a line."""
    records = [_compact(line) for line in _lines(report)]
    for record in records:
        validator("github-user-record").validate(record)
    return records


def whole_record(report: bytes) -> Json:
    """The one valid object, on one line, of a report on an enterprise or organization."""
    (line,) = _lines(report)
    record = _compact(line)
    validator("github-enterprise-record").validate(record)
    return record


def _lines(report: bytes) -> list[bytes]:
    assert report == b"" or report.endswith(b"\n")
    return report.split(b"\n")[:-1]


def _compact(line: bytes) -> Json:
    record: Json = json.loads(line)
    assert line == json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode()
    return record
