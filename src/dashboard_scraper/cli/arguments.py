"""What argparse lacks: our errors, days that begin with a dash, options between other words."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NoReturn, TypeVar

from dashboard_scraper.errors import UsageError
from dashboard_scraper.model.dates import Window, parse_days, parse_duration, parse_moment, utc_day

_DAYS_AGO = re.compile(r"-[0-9]+d", re.ASCII)
_Value = TypeVar("_Value")


class Parser(argparse.ArgumentParser):
    """Raises UsageError, and accepts options before, between and after the other words."""

    def error(self, message: str) -> NoReturn:
        """Raise, although argparse would print the whole usage and exit."""
        raise UsageError(f"{message}; see {self.prog} --help")

    @property
    def valued(self) -> frozenset[str]:
        """The options that take a value."""
        actions = self._actions  # argparse has no public list of them
        return frozenset(o for a in actions if a.nargs != 0 for o in a.option_strings)

    def read(self, words: Sequence[str]) -> argparse.Namespace:
        """Parse a command line without the command itself."""
        # argparse takes -7d for an option, but nothing that begins with a space.
        shown = list(words)
        for place in plain_words(words, valued=()):
            if _DAYS_AGO.fullmatch(words[place]):
                shown[place] = f" {words[place]}"
        # parse_intermixed_args loses words after --, at least before Python 3.12.
        return self.parse_args(shown) if "--" in shown else self.parse_intermixed_args(shown)


def plain_words(words: Sequence[str], valued: Collection[str]) -> Iterator[int]:
    """The positions of the words that are neither options nor the values of `valued` options."""
    is_value = False
    for place, word in enumerate(words):
        if word == "--":
            return
        if not is_value and (not word.startswith("-") or _DAYS_AGO.fullmatch(word)):
            yield place
        is_value = not is_value and word in valued


def _argument(read: Callable[[str], _Value]) -> Callable[[str], _Value]:
    """An argparse type whose errors name the option."""

    def typed(text: str) -> _Value:
        try:
            return read(text)
        except UsageError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return typed


def read_days(text: str) -> Window:
    """A day or a month; relative ones such as -7d count from today."""
    return parse_days(text, utc_day(datetime.now(UTC)))


def _one_day(text: str) -> Window:
    window = read_days(text)
    if len(window) > 1:
        raise UsageError(f"{text!r} is more than one day")
    return window


def _past_moment(text: str) -> datetime:
    found = parse_moment(text)
    if found > datetime.now(UTC):
        raise UsageError(f"{text!r} is in the future")
    return found


def _number(least: int, most: int) -> Callable[[str], int]:
    """Reads a whole number in this range, with at most as many digits as the largest."""

    def read(text: str) -> int:
        is_number = text.isascii() and text.isdigit() and len(text) <= len(f"{most}")
        if not (is_number and least <= int(text) <= most):
            raise UsageError(f"write a number from {least} to {most}")
        return int(text)

    return read


def _filled(text: str) -> str:
    if not text.strip():
        raise UsageError("the value is empty; is a variable not set?")
    return text


def _path(text: str) -> Path:
    return Path(_filled(text))


days: Callable[[str], Window] = _argument(read_days)
one_day: Callable[[str], Window] = _argument(_one_day)
moment: Callable[[str], datetime] = _argument(_past_moment)
duration: Callable[[str], timedelta] = _argument(parse_duration)
positive: Callable[[str], int] = _argument(_number(1, 100_000))
whole_number: Callable[[str], int] = _argument(_number(0, 100_000))
port: Callable[[str], int] = _argument(_number(0, (1 << 16) - 1))
filled: Callable[[str], str] = _argument(_filled)
path: Callable[[str], Path] = _argument(_path)
