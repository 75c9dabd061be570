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
    """The sibling of one CSV; in the folder of an export, the file is called `NOTES.txt` alone."""
    return users_path.with_name(f"{users_path.stem}.{NOTES}")


def notes_text(doubts: Sequence[Doubt]) -> bytes:
    """The content: what the kinds mean, then a line for each day and reason."""
    kinds = [kind for kind in DoubtKind if any(doubt.kind is kind for doubt in doubts)]
    meanings = [f"{kind.word}: {kind.meaning}" for kind in kinds]
    lines = [_FIRST_LINE, _SECOND_LINE, "", *meanings, "", *map(str, doubts)]
    return "".join(f"{line}\n" for line in lines).encode()


def is_anothers(path: Path) -> bool:
    """Whether a file of that name is there that somebody else wrote: people give such names too."""
    if not os.path.lexists(path):
        return False
    try:
        with path.open("rb") as file:
            return file.read(len(_FIRST_LINE)) != _FIRST_LINE.encode()
    except OSError:
        return True


def refuse_anothers(path: Path) -> None:
    """OutputFailed where somebody else's file is in the way of the notes."""
    if is_anothers(path):
        raise OutputFailed(f"{path} is not the program's, which has notes to write; move it away")
