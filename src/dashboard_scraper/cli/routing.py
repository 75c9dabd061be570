"""Finds the command in a command line, or suggests one if there is no such command."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence

from dashboard_scraper.cli.arguments import plain_words
from dashboard_scraper.errors import UsageError
from dashboard_scraper.model.dates import DAY_WORDS

PROGRAM = "dashboard-scraper"
HELP, VERSION = "help", "version"

# Commands that people know from other programs, and the commands here that do the same.
_ELSEWHERE = {
    **dict.fromkeys(("auth", "login", "signin"), f"to sign in, write {PROGRAM} --auth"),
    **dict.fromkeys(
        ("logout", "signout"),
        "to sign out, remove the file of the setting COOKIE_FILE, secrets/cookies.json by default",
    ),
    **dict.fromkeys(
        ("fetch", "run", "scrape"),
        f"{PROGRAM} without a command fetches the last days, or the days you give",
    ),
    "daily": f"write {PROGRAM} --daily START END, or --last-28-days",
}


def route(
    argv: Sequence[str], commands: Collection[str], valued: Collection[str]
) -> tuple[str, list[str]]:
    """The command, and all other words; the command is empty for fetching.

    The command is the first word that is neither an option nor the value of one in `valued`. Raises
    UsageError if that word is neither a command nor a date.
    """
    places = list(plain_words(argv, valued))
    word = argv[places[0]] if places else ""
    if places and word in (*commands, HELP, VERSION):
        return word, [*argv[: places[0]], *argv[places[0] + 1 :]]
    if late := [argv[place] for place in places if argv[place] in commands]:
        raise UsageError(
            f"the command {late[0]} must come before dates and its own options; write it first:"
            f" {PROGRAM} {late[0]}"
        )
    if places:
        _refuse_unknown(word, commands)
    return "", list(argv)


def _refuse_unknown(word: str, commands: Collection[str]) -> None:
    """Raise UsageError unless the word may be a date: one of DAY_WORDS, or a word with digits."""
    lowered = word.lower()
    if lowered in DAY_WORDS:
        return
    if lowered in _ELSEWHERE:
        raise UsageError(f"there is no command {lowered}; {_ELSEWHERE[lowered]}")
    known = [*commands, HELP, VERSION, *DAY_WORDS]
    if close := difflib.get_close_matches(lowered, known, n=1):
        shown = close[0] if close[0] in DAY_WORDS else f"{PROGRAM} {close[0]}"
        raise UsageError(f"{word!r} is not a command; did you mean {shown}?")
    if not any(character.isdigit() for character in word):
        raise UsageError(
            f"{word!r} is neither a command nor a date; the commands are {', '.join(commands)}"
        )
