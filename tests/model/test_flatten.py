"""Flattening: every leaf once under a dotted name, nothing merged, and times in UTC."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from dashboard_scraper.errors import ContractBroken
from dashboard_scraper.model.flatten import flatten

NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
PLAIN_NAMES = st.text("abcdefgh_", min_size=1, max_size=6)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
)


def nested(names: st.SearchStrategy[str]) -> st.SearchStrategy[dict[str, Any]]:
    values = st.recursive(
        SCALARS,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
        max_leaves=12,
    )
    return st.dictionaries(names, values, max_size=5)


def leaves(record: dict[str, Any], *path: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Paths and values; an object without fields counts as a leaf, and so does a list."""
    for key, value in record.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, *path, key)
        else:
            yield (*path, key), value


@settings(deadline=None)
@given(nested(PLAIN_NAMES))
@example({"a": {"b": {"c": 1, "d": {}}, "e": []}, "f": None})
@pytest.mark.slow
def test_every_leaf_has_its_dotted_path(record: dict[str, Any]) -> None:
    expected = {".".join(path): value for path, value in leaves(record)}
    flat = flatten(record)
    assert flat.keys() == expected.keys()
    for name, value in expected.items():
        if isinstance(value, list | dict):
            assert json.loads(str(flat[name])) == value
        else:  # too short for a timestamp
            assert (flat[name], type(flat[name])) == (value, type(value))


@settings(deadline=None)
@given(nested(st.sampled_from(["", "a", "b", "a.b", ".", "a."])))
@example({"a": {"b": 1}, "a.b": 2})
@example({"a.b": {"c": 1}, "a": {"b.c": 2}})
@example({"": {"a": 1}, ".a": 2})
@pytest.mark.slow
def test_two_fields_never_become_one(record: dict[str, Any]) -> None:
    names = [".".join(path) for path, _ in leaves(record)]
    if len(set(names)) == len(names):
        assert flatten(record).keys() == set(names)
        return
    with pytest.raises(ContractBroken, match="would both be named"):
        flatten(record)


@settings(deadline=None)
@given(nested(NAMES))
@pytest.mark.slow
def test_flattening_a_flat_record_changes_nothing(record: dict[str, Any]) -> None:
    names = [".".join(path) for path, _ in leaves(record)]
    assume(len(set(names)) == len(names))
    flat = flatten(record)
    assert flatten(flat) == flat


MOMENTS = st.datetimes(datetime(1970, 1, 2), datetime(2999, 1, 1))  # noqa: DTZ001
OFFSETS = st.timedeltas(timedelta(hours=-14), timedelta(hours=14)).map(
    lambda offset: timezone(timedelta(minutes=offset // timedelta(minutes=1)))
)


@settings(deadline=None)
@given(MOMENTS, OFFSETS, st.sampled_from([" ", "T"]))
def test_timestamp_with_offset_is_written_in_utc(
    moment: datetime, offset: timezone, between: str
) -> None:
    text = moment.replace(tzinfo=offset).isoformat(sep=between)
    written = str(flatten({"seen": text})["seen"])
    assert written.endswith("Z")
    assert datetime.fromisoformat(written) == moment.replace(tzinfo=offset)
    assert flatten({"seen": written})["seen"] == written


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("2025-10-21T16:02:11.1Z", "2025-10-21T16:02:11.100000Z"),
        ("2025-10-21T16:02:11", "2025-10-21T16:02:11Z"),
        ("2025-10-21 16:02", "2025-10-21T16:02:00Z"),
        ("2025-10-21T16:02:11+0530", "2025-10-21T10:32:11Z"),
        ("2025-10-21T16:02:11+02", "2025-10-21T14:02:11Z"),
        ("2024-08-14T21:07:24.808438Z", "2024-08-14T21:07:24.808438Z"),
    ],
)
def test_timestamps_become_iso_8601_in_utc(text: str, written: str) -> None:
    assert flatten({"deep": {"seen": text}, "list": [text]}) == {
        "deep.seen": written,
        "list": f'["{text}"]',
    }


@pytest.mark.parametrize(
    "text",
    [
        "2025-10-21",
        "2025-02-31T10:00:00Z",
        "2025-10-21T25:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "on 2025-10-21T16:02:11Z",
        "2025-10-21T16:02:11Z ",
        "20251021",
        "1761062531",
        "２０２５-10-21T16:02:11Z",  # noqa: RUF001 - digits, but none of a date
    ],
)
def test_text_that_is_no_moment_stays_as_it_is(text: str) -> None:
    assert flatten({"timestamp": text}) == {"timestamp": text}


MOMENT = datetime(2025, 10, 21, 16, 2, 11, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "number", "cell"),
    [
        ("timestamp", int(MOMENT.timestamp()), "2025-10-21T16:02:11Z"),
        ("timestamp", int(MOMENT.timestamp()) * 1000, "2025-10-21T16:02:11Z"),
        ("timestamp", int(MOMENT.timestamp()) * 1000 + 500, "2025-10-21T16:02:11.500000Z"),
        ("timestamp", MOMENT.timestamp() + 0.5, "2025-10-21T16:02:11.500000Z"),
        ("timestamp", 0, "1970-01-01T00:00:00Z"),
        ("timestamp", True, True),
        ("timestamp", 10**30, 10**30),
        pytest.param("timestamp", 10**400, 10**400, id="beyond every float"),
        ("count", int(MOMENT.timestamp()), int(MOMENT.timestamp())),
    ],
)
def test_number_is_a_timestamp_by_field_name_only(name: str, number: float, cell: object) -> None:
    assert flatten({name: number}) == {name: cell}
