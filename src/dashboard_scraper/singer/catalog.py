"""The catalogue: what can be sent, and what a user has selected of it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from dashboard_scraper.errors import UsageError
from dashboard_scraper.model.listing import listed
from dashboard_scraper.singer import json_files
from dashboard_scraper.singer.streams import STREAMS, Method, Stream

logger = logging.getLogger(__name__)

_DISCOVER = "make a new one with --discover"
_PROPERTIES = "properties"


class Metadata(msgspec.Struct):
    """What the catalogue says about a stream, or about the field that `breadcrumb` leads to."""

    breadcrumb: list[str]
    metadata: dict[str, Any]


class Entry(msgspec.Struct, kw_only=True):
    """A stream in a catalogue."""

    tap_stream_id: str
    stream: str | None = None
    schema: dict[str, Any] = {}
    metadata: list[Metadata] = []
    key_properties: list[str] = []
    replication_method: str | None = None
    replication_key: str | None = None
    selected: bool | None = None  # the older form


class Catalog(msgspec.Struct):
    """The catalogue."""

    streams: list[Entry]


class Selection(msgspec.Struct, frozen=True):
    """A stream to send, with these of its fields; with `whole`, always all of its rows."""

    stream: Stream
    names: frozenset[str]
    whole: bool = False


def discovered() -> Catalog:
    """The catalogue with everything in it."""
    return Catalog([_entry(stream) for stream in STREAMS.values()])


def everything() -> list[Selection]:
    """What is sent if there is no catalogue."""
    return [_selection(stream, entry) for stream, entry in _paired(discovered().streams)]


def read(option: str, path: Path) -> list[Selection]:
    """What a catalogue selects, in the tap's own order; UsageError if it names something that the
    tap does not have.
    """
    entries = json_files.read(option, path, Catalog).streams
    names = [entry.tap_stream_id for entry in entries]
    if unknown := sorted(set(names) - STREAMS.keys()):
        raise UsageError(
            f"{option}: {path}: there is no stream {listed(unknown)}; the streams are"
            f" {listed(STREAMS)}: {_DISCOVER}"
        )
    if len(set(names)) < len(names):
        raise UsageError(f"{option}: {path}: a stream has two entries; {_DISCOVER}")
    for stream, entry in _paired(entries):
        _check_fields(f"{option}: {path}: {stream.name}", stream, entry)
    chosen = {stream.name: entry for stream, entry in _paired(entries) if _is_selected(entry)}
    if not chosen:
        logger.warning("%s: %s selects no stream: nothing is sent", option, path)
    return [_selection(STREAMS[name], chosen[name]) for name in STREAMS if name in chosen]


def _paired(entries: Iterable[Entry]) -> Iterator[tuple[Stream, Entry]]:
    return ((STREAMS[entry.tap_stream_id], entry) for entry in entries)


def _entry(stream: Stream) -> Entry:
    of_stream: dict[str, Any] = {
        "inclusion": "available",
        "selected-by-default": True,
        "table-key-properties": list(stream.key),
    }
    if stream.replication_key is None:
        of_stream["forced-replication-method"] = stream.method.value
    else:
        of_stream["replication-method"] = stream.method.value
        of_stream["valid-replication-keys"] = [stream.replication_key]
    of_fields = [
        Metadata(
            [_PROPERTIES, field.name],
            {
                "inclusion": "automatic" if field.name in stream.automatic else "available",
                "selected-by-default": True,
            },
        )
        for field in stream.fields
    ]
    return Entry(
        tap_stream_id=stream.name,
        stream=stream.name,
        schema=stream.schema(),
        metadata=[Metadata([], of_stream), *of_fields],
        key_properties=list(stream.key),
        replication_method=stream.method.value,
        replication_key=stream.replication_key,
    )


def _check_fields(where: str, stream: Stream, entry: Entry) -> None:
    known = {field.name for field in stream.fields}
    named = set(entry.schema.get(_PROPERTIES, ()))
    named |= {each.breadcrumb[1] for each in entry.metadata if len(each.breadcrumb) == 2}
    if unknown := sorted(named - known):
        raise UsageError(
            f"{where} has no field {listed(unknown)}; if it had one, another version of this"
            f" program made the catalogue: {_DISCOVER}"
        )
    if entry.schema and (newer := [f.name for f in stream.fields if f.name not in named]):
        logger.warning("%s: not in the catalogue: %s; %s", where, listed(newer), _DISCOVER)


def _metadata(entry: Entry, breadcrumb: list[str]) -> dict[str, Any]:
    return next((m.metadata for m in entry.metadata if m.breadcrumb == breadcrumb), {})


def _is_selected(entry: Entry) -> bool:
    found = _metadata(entry, [])
    stated = (found.get("selected"), entry.selected, entry.schema.get("selected"))
    return bool(
        next((each for each in stated if each is not None), found.get("selected-by-default"))
    )


def _selection(stream: Stream, entry: Entry) -> Selection:
    names = {field.name for field in stream.fields if _has_field(entry, field.name)}
    method = _metadata(entry, []).get("replication-method") or entry.replication_method
    whole = stream.method is Method.INCREMENTAL and method == Method.FULL_TABLE.value
    return Selection(stream, stream.automatic | names, whole)


def _has_field(entry: Entry, name: str) -> bool:
    found = _metadata(entry, [_PROPERTIES, name])
    if "selected" in found:
        return bool(found["selected"])
    in_schema = entry.schema.get(_PROPERTIES, {})
    return bool(found.get("selected-by-default", name in in_schema))
