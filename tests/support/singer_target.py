"""A Singer target in memory, and runs of the tap into it."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import jsonschema

from conftest import Home

Row = dict[str, Any]
DELETED_AT = "_sdc_deleted_at"

_FORMATS = jsonschema.FormatChecker(())
_FORMATS.checks("date", ValueError)(lambda text: text is None or bool(date.fromisoformat(text)))
_FORMATS.checks("date-time", ValueError)(
    lambda text: text is None or bool(datetime.fromisoformat(text).tzinfo)
)


@functools.cache
def _validator_of(schema: str) -> Any:
    """Cached: every run sends the same schemas, and each is checked as a schema only once."""
    decoded = json.loads(schema)
    jsonschema.Draft7Validator.check_schema(decoded)
    return jsonschema.Draft7Validator(decoded, format_checker=_FORMATS)


@functools.lru_cache(maxsize=10_000)
def _validate(schema: str, record: str) -> None:
    """Cached, as most records come again: checking one takes as long as all other work on it."""
    _validator_of(schema).validate(json.loads(record))


class Target:
    """Upserts rows by the key of their stream, checks each against its schema, and removes the rows
    that ACTIVATE_VERSION says are gone. `state` is the newest state that it has received.
    """

    def __init__(self) -> None:
        self.schemas: dict[str, dict[str, Any]] = {}
        self.keys: dict[str, list[str]] = {}
        self.tables: dict[str, dict[tuple[Any, ...], tuple[int, Row]]] = {}
        self.state: Any = None
        self._texts: dict[str, str] = {}

    def take(self, lines: Iterable[str]) -> None:
        for line in lines:
            message = json.loads(line)
            getattr(self, f"_{message.pop('type').lower()}")(**message)

    def _schema(self, stream: str, schema: Any, key_properties: list[str], **_: Any) -> None:
        self.schemas[stream], self.keys[stream] = schema, key_properties
        self._texts[stream] = json.dumps(schema)
        assert _validator_of(self._texts[stream])
        self.tables.setdefault(stream, {})

    def _record(self, stream: str, record: Row, version: int, time_extracted: str) -> None:
        assert datetime.fromisoformat(time_extracted)
        assert record.keys() == self.schemas[stream]["properties"].keys()
        _validate(self._texts[stream], json.dumps(record))
        key = tuple(record[name] for name in self.keys[stream])
        self.tables[stream][key] = version, record

    def _activate_version(self, stream: str, version: int) -> None:
        table = self.tables[stream]
        self.tables[stream] = {key: row for key, row in table.items() if row[0] >= version}

    def _state(self, value: Any) -> None:
        self.state = value

    def rows(self, stream: str) -> list[Row]:
        """The rows that are not marked as gone, by key."""
        found = sorted(self.tables.get(stream, {}).items())
        return [row for _, (_, row) in found if row.get(DELETED_AT) is None]

    def content(self) -> dict[str, list[Row]]:
        return {stream: self.rows(stream) for stream in self.tables}


def messages(home: Home, *words: str, state: Any = None) -> list[str]:
    """The messages that a run of the tap writes."""
    if state is not None:
        words = (*words, "--state", file(home.path / "state.json", state))
    result = home.run("tap", *words)
    assert result.code == 0, result.err
    return result.out.splitlines()


def sync(home: Home, target: Target, *words: str) -> list[str]:
    """Run the tap into a target, from its state on; returns what the tap wrote."""
    lines = messages(home, *words, state=target.state)
    target.take(lines)
    return lines


def fresh(home: Home, *words: str) -> Target:
    """A target with everything that the store has now."""
    target = Target()
    sync(home, target, *words)
    return target


def kinds(lines: Iterable[str], kind: str = "RECORD", stream: str | None = None) -> list[Any]:
    """The messages of one kind, and of one stream if given."""
    found = [each for each in map(json.loads, lines) if each["type"] == kind]
    return [each for each in found if stream is None or each["stream"] == stream]


def file(path: Path, content: Any) -> str:
    path.write_text(json.dumps(content), encoding="utf-8")
    return f"{path}"
