"""Reasons to doubt a day's figures. Every output takes its marks from here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from enum import Enum
from typing import Protocol

import msgspec

from dashboard_scraper.model.checks import Difference
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.listing import listed
from dashboard_scraper.model.tolerance import Tolerance


class DoubtKind(Enum):
    """Kinds of doubt, the worst first. `sign` marks a day in one character."""

    UNRECONCILED = ("unreconciled", "!", "users and the source's own totals disagree")
    SUSPICIOUS = ("suspicious", "*", "the figures are unlikely to be right")
    HELD = ("held", "%", "the source has newer figures, which are held and not in force")

    def __init__(self, word: str, sign: str, meaning: str) -> None:
        self.word = word
        self.sign = sign
        self.meaning = meaning


class MarkedDay(Protocol):
    """A day with its marks, as in a ledger or manifest."""

    @property
    def day(self) -> date: ...
    @property
    def unreconciled(self) -> list[Difference]: ...
    @property
    def suspicious(self) -> str | None: ...
    @property
    def held(self) -> str | None: ...


class Doubt(msgspec.Struct, frozen=True):
    """Why the figures of a window, mostly a single day, are in doubt: in words, on one line.

    For UNRECONCILED, `differences` has the same information as data.
    """

    window: Window
    kind: DoubtKind
    words: str
    differences: tuple[Difference, ...] = ()

    def __str__(self) -> str:
        return f"{self.window} {self.kind.word}: {self.words}"


def doubts_of(marked: MarkedDay, tolerance: Tolerance) -> list[Doubt]:
    """The doubts about a day, the worst first; most days have none."""
    window = Window(marked.day, marked.day)
    found = unreconciled(window, marked.unreconciled, tolerance)
    for kind, words in (
        (DoubtKind.SUSPICIOUS, marked.suspicious),
        (DoubtKind.HELD, marked.held),
    ):
        if words is not None:
            found.append(Doubt(window, kind, " ".join(words.split())))
    return found


def words_by_kind(marked: MarkedDay, tolerance: Tolerance) -> dict[str, str]:
    """The doubts about a day in words, by the word for their kind, which also names a column."""
    return {doubt.kind.word: doubt.words for doubt in doubts_of(marked, tolerance)}


def unreconciled(
    window: Window, differences: Iterable[Difference], tolerance: Tolerance
) -> list[Doubt]:
    """The doubt that these differences cause; none if they are all tolerated."""
    beyond = tolerance.beyond(differences)
    if not beyond:
        return []
    words = listed(beyond, separator="; ")
    return [Doubt(window, DoubtKind.UNRECONCILED, words, tuple(beyond))]


def doubts_in(days: Iterable[MarkedDay], tolerance: Tolerance) -> list[Doubt]:
    """The doubts about several days, in the order of the days."""
    return [doubt for day in days for doubt in doubts_of(day, tolerance)]


def days_of(doubts: Iterable[Doubt], kind: DoubtKind) -> list[date]:
    """The days with a doubt of that kind."""
    return [day for doubt in doubts if doubt.kind is kind for day in doubt.window.days()]


def short_list(doubts: Sequence[Doubt], most: int) -> str:
    """Days and kinds only, in ASCII: `2026-11-03 unreconciled; 2026-11-05 held`."""
    return listed([f"{each.window} {each.kind.word}" for each in doubts], most, "; ")
