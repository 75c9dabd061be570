"""Names in the environment that resemble a setting, and so may be one that was misspelt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum

from pydantic.fields import FieldInfo

Fields = Mapping[str, FieldInfo]

_MOST_EDITS = 2
# So many letters that the first word of a name is nobody else's.
_TELLING = 8
# Within two letters of a setting, and known to be other programs'.
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
    """What makes a setting one of which a misspelt name ends the run; of others it is a warning."""

    PRIVACY = "who is named in outputs"
    STORE = "where the figures are"


def concern_of(field: FieldInfo) -> Concern | None:
    """The mark in the field's annotation."""
    return next((mark for mark in field.metadata if isinstance(mark, Concern)), None)


def misspelt(environment: Mapping[str, str], fields: Fields) -> Iterator[tuple[str, str]]:
    """The names that are not settings but like one, each with the setting that it is like.

    An empty variable is as good as none.
    """
    settings = {field.upper(): concern_of(field_info) for field, field_info in fields.items()}
    for name in (name for name, value in environment.items() if value):
        folded = name.upper()
        if folded in settings or folded in _OTHERS:
            continue
        near = [
            setting
            for setting, concern in settings.items()
            if within_edits(folded, setting, _MOST_EDITS)
            or (concern is Concern.PRIVACY and _begins_like(folded, setting))
        ]
        if near:
            yield name, near[0]


def _begins_like(name: str, setting: str) -> bool:
    """Whether both begin with the same word, one that is hardly another program's."""
    word, _, _ = setting.partition("_")
    return len(word) >= _TELLING and name.startswith(word)


def within_edits(a: str, b: str, edits: int) -> bool:
    """Whether at most so many letters are missing, too many, wrong or swapped."""
    if abs(len(a) - len(b)) > edits:
        return False
    # Each edit takes one letter away at most: that alone tells almost all names apart, and soon.
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
