"""Names in the environment that resemble a setting, and may be misspellings of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from functools import lru_cache

from pydantic.fields import FieldInfo

Fields = Mapping[str, FieldInfo]

_MOST_EDITS = 2
# A first word of so many letters is unlikely to be another program's.
_DISTINCTIVE = 8
# Within two letters of a setting, and known to belong to other programs.
_OTHERS = frozenset(
    {
        "CORE_URL",
        "CORS_URL",
        "IMPORT_DIR",
        "LOGLEVEL",
        "REPORT_DIR",
        "SCORE_URL",
        "SHARE_URL",
        "STAGE_URL",
        "STATE_URL",
        "STORAGE_URL",
    }
)


class Concern(Enum):
    """Why a misspelled name of this setting ends the run, where others only cause a warning."""

    PRIVACY = "who is named in outputs"
    STORE = "where the figures are"


def concern_of(field: FieldInfo) -> Concern | None:
    """The Concern in the field's annotation, if any."""
    return next((mark for mark in field.metadata if isinstance(mark, Concern)), None)


def misspelt(environment: Mapping[str, str], fields: Fields) -> Iterator[tuple[str, str]]:
    """Names that are not settings but resemble one, each with that setting.

    Empty variables are ignored.
    """
    settings = tuple(
        (name.upper(), concern_of(field) is Concern.PRIVACY) for name, field in fields.items()
    )
    for name in (name for name, value in environment.items() if value):
        if near := _resembled(name.upper(), settings):
            yield name, near


@lru_cache(1000)
def _resembled(name: str, settings: tuple[tuple[str, bool], ...]) -> str | None:
    """The setting that the name resembles; None also for a setting itself. With each setting is
    whether it is about privacy. An environment is much the same whenever settings are loaded.
    """
    if name in _OTHERS or any(name == setting for setting, _ in settings):
        return None
    near = (
        setting
        for setting, private in settings
        if within_edits(name, setting, _MOST_EDITS) or (private and _begins_like(name, setting))
    )
    return next(near, None)


def _begins_like(name: str, setting: str) -> bool:
    """Whether both begin with the same distinctive word."""
    word, _, _ = setting.partition("_")
    return len(word) >= _DISTINCTIVE and name.startswith(word)


def within_edits(a: str, b: str, edits: int) -> bool:
    """Whether the names differ by at most `edits` insertions, deletions, substitutions or swaps."""
    if abs(len(a) - len(b)) > edits:
        return False
    # Each edit removes at most one distinct letter: a fast test that settles almost all names.
    if len(set(a) - set(b)) > edits or len(set(b) - set(a)) > edits:
        return False
    same = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), None)
    if same is None:
        return True
    if not edits:
        return False
    a, b = a[same:], b[same:]
    swapped = a[:2] == b[1::-1] and within_edits(a[2:], b[2:], edits - 1)
    shorter = ((a[1:], b), (a, b[1:]), (a[1:], b[1:]))
    return swapped or any(within_edits(x, y, edits - 1) for x, y in shorter)
