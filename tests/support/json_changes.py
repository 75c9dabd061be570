"""Changes at any place in a JSON text, for Hypothesis to choose from."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from hypothesis import strategies as st

from dashboard_scraper.model.metrics import MAX_COUNT

Json = Any
Path_ = tuple[str | int, ...]

_numbers = st.integers(-2, 2) | st.integers(-(2**70), 2**70) | st.sampled_from([MAX_COUNT + 1])


def _anything(day: date, names: Sequence[str]) -> st.SearchStrategy[Json]:
    """Small JSON in which days, addresses and these names are likely."""
    likely = [f"{day}", f"{day - timedelta(1)}", "ada@example.com", "\0"]
    words = st.text(max_size=8) | st.sampled_from(likely)
    leaves = st.none() | st.booleans() | _numbers | st.floats(allow_nan=False) | words
    return st.recursive(
        leaves,
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(words | st.sampled_from(names), inner, max_size=3)
        ),
        max_leaves=6,
    )


def places(value: Json, path: Path_ = ()) -> Iterator[Path_]:
    """Every place in a JSON text, including the whole text."""
    yield path
    keys: Iterable[str | int] = value if isinstance(value, dict) else ()
    for key in range(len(value)) if isinstance(value, list) else keys:
        yield from places(value[key], (*path, key))


def changed(body: Json, path: Path_, how: str, value: Json) -> Json:
    """Replace, remove or repeat the value at the place, or add another one beside it."""
    if not path:
        return value
    copied = json.loads(json.dumps(body))
    holder = copied
    for key in path[:-1]:
        holder = holder[key]
    if how == "remove":
        del holder[path[-1]]
    elif how == "repeat" and isinstance(holder, list):
        holder.append(holder[path[-1]])  # type: ignore[index]
    elif how == "add" and isinstance(holder, dict):
        holder[f"{path[-1]}_2"] = value
    else:
        holder[path[-1]] = value
    return copied


def _at(body: Json, path: Path_) -> Json:
    for key in path:
        body = body[key]
    return body


def _near(value: Json, day: date, anything: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    """Values that could have been there."""
    if isinstance(value, bool):
        return st.just(not value)
    if isinstance(value, int | float):
        near_by = [value + 1, value - 1, -value, value + 10**13]
        return st.sampled_from([*near_by, f"{value}", float(value), bool(value), [value]])
    if isinstance(value, str) and value[:4] == f"{day.year}":
        return st.sampled_from([f"{day + timedelta(days=n)}" for n in (-9, -1, 0, 1)])
    return st.just(f"{value}x") if isinstance(value, str) else anything


def changes_of(
    good: Mapping[str, Json], day: date, names: Sequence[str]
) -> st.SearchStrategy[tuple[str, Json]]:
    """The name of one of the answers, and that answer with one change."""
    known = {name: list(places(body)) for name, body in good.items()}
    anything = _anything(day, names)

    @st.composite
    def changes(draw: st.DrawFn) -> tuple[str, Json]:
        name = draw(st.sampled_from(list(good)))
        path = draw(st.sampled_from(known[name]))
        how = draw(st.sampled_from(["replace", "near", "near", "remove", "repeat", "add"]))
        values = _near(_at(good[name], path), day, anything) if how == "near" else anything
        return name, changed(good[name], path, how, draw(values))

    return changes()
