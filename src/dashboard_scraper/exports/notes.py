"""`NOTES.txt`: which days are in doubt, which earlier days weekly and monthly counts lack or should
not rely on, which files are not written, and why; written beside files that cannot say it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from dashboard_scraper.errors import OutputFailed
from dashboard_scraper.model.dates import runs_of_days
from dashboard_scraper.model.doubts import Doubt, DoubtKind

NOTES = "NOTES.txt"
_IN_DOUBT = "Days whose figures are in doubt, and why. Written by dashboard-scraper."
_SECOND_LINE = "Every file beside this one that has figures of such a day is in doubt too."
_NOT_WRITTEN = "Files that are not written, and why. Written by dashboard-scraper."
_BEFORE = (
    "Earlier days that weekly and monthly counts in GitHub's reports lack, or that are in doubt."
    " Written by dashboard-scraper."
)
_FIRST_LINES = (_IN_DOUBT.encode(), _NOT_WRITTEN.encode(), _BEFORE.encode())


def notes_path(users_path: Path) -> Path:
    """The notes beside a CSV of a period; in the folder of an export, it is just `NOTES.txt`."""
    return users_path.with_name(f"{users_path.stem}.{NOTES}")


def notes_text(
    doubts: Sequence[Doubt],
    unwritten: Sequence[str] = (),
    earlier_doubts: Sequence[Doubt] = (),
    earlier_gaps: Sequence[date] = (),
) -> bytes:
    """The file's content: what the kinds of doubt mean, then a line for each day and reason; the
    same of the earlier days that weekly and monthly counts cover, and those that are missing; then
    why files are `unwritten`. Empty if there is nothing to note.
    """
    gaps = [f"{run} missing" for run in runs_of_days(earlier_gaps)]
    parts = (
        ([_IN_DOUBT, _SECOND_LINE, ""], _doubt_lines(doubts)),
        ([_BEFORE, ""], [*_doubt_lines(earlier_doubts), *gaps]),
        ([_NOT_WRITTEN, ""], [*unwritten]),
    )
    texts = ("".join(f"{line}\n" for line in [*head, *lines]) for head, lines in parts if lines)
    return "\n".join(texts).encode()


def _doubt_lines(doubts: Sequence[Doubt]) -> list[str]:
    kinds = [kind for kind in DoubtKind if any(doubt.kind is kind for doubt in doubts)]
    meanings = [f"{kind.word}: {kind.meaning}" for kind in kinds]
    return [*meanings, "", *map(str, doubts)] if doubts else []


def is_foreign(path: Path) -> bool:
    """Whether there is a file of that name that the program did not write: the name is common."""
    if not os.path.lexists(path):
        return False
    try:
        with path.open("rb") as file:
            return not file.read(max(map(len, _FIRST_LINES))).startswith(_FIRST_LINES)
    except OSError:
        return True


def refuse_foreign(path: Path) -> None:
    """OutputFailed if somebody else's file has the name of the notes."""
    if is_foreign(path):
        raise OutputFailed(
            f"{path} was not written by this program, which needs that name for its notes; move it"
            " away"
        )
