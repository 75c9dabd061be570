"""`NOTES.txt`: which days are in doubt and why, beside files that cannot say it themselves."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from dashboard_scraper.errors import OutputFailed
from dashboard_scraper.model.doubts import Doubt, DoubtKind

NOTES = "NOTES.txt"
_FIRST_LINE = "Days whose figures are in doubt, and why. Written by dashboard-scraper."
_SECOND_LINE = "Every file beside this one that has figures of such a day is in doubt too."


def notes_path(users_path: Path) -> Path:
    """The notes beside a CSV of a period; in the folder of an export, it is just `NOTES.txt`."""
    return users_path.with_name(f"{users_path.stem}.{NOTES}")


def notes_text(doubts: Sequence[Doubt]) -> bytes:
    """The file's content: what the kinds of doubt mean, then a line for each day and reason."""
    kinds = [kind for kind in DoubtKind if any(doubt.kind is kind for doubt in doubts)]
    meanings = [f"{kind.word}: {kind.meaning}" for kind in kinds]
    lines = [_FIRST_LINE, _SECOND_LINE, "", *meanings, "", *map(str, doubts)]
    return "".join(f"{line}\n" for line in lines).encode()


def is_foreign(path: Path) -> bool:
    """Whether there is a file of that name that the program did not write: the name is common."""
    if not os.path.lexists(path):
        return False
    try:
        with path.open("rb") as file:
            return file.read(len(_FIRST_LINE)) != _FIRST_LINE.encode()
    except OSError:
        return True


def refuse_foreign(path: Path) -> None:
    """OutputFailed if somebody else's file is in the way of the notes."""
    if is_foreign(path):
        raise OutputFailed(
            f"{path} was not written by this program, which needs that name for its notes; move it"
            " away"
        )
