"""What the organization's people, and two API keys, do with Claude Code on a day.

Like all figures, these depend only on the seed, the actor and the day; amounts are whole numbers of
ten-thousandths of a cent.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import NamedTuple

from dashboard_scraper.model.dates import is_weekend
from dashboard_scraper.simulator.assistants import CLAUDE_CODE, Assistants
from dashboard_scraper.simulator.draws import draw
from dashboard_scraper.simulator.organization import Organization

API_KEYS = ("ci-review", "release notes")
QUICK, THOROUGH = MODELS = ("claude-quick-1", "claude-thorough-2")
TOOLS = ("edit_tool", "multi_edit_tool", "write_tool", "notebook_edit_tool")
CENT = 10_000
"""A cent in the unit of amounts."""

_TERMINALS = ("vscode", "iTerm.app", "tmux", "WarpTerminal")
_PRICES = {QUICK: (1, 5, 0, 1), THOROUGH: (3, 15, 0, 4)}
"""The price of a token of each class."""


class Spent(NamedTuple):
    """Tokens of one model (input, output, cache read, cache creation), and the estimated cost."""

    model: str
    tokens: tuple[int, int, int, int]
    amount: int


class Row(NamedTuple):
    """One record: an actor, which is a person unless it is a `key`, with one terminal.

    `edits` has the accepted and rejected proposals for each of TOOLS.
    """

    name: str
    key: bool
    terminal: str
    sessions: int
    added: int
    removed: int
    commits: int
    pull_requests: int
    edits: tuple[tuple[int, int], ...]
    spent: tuple[Spent, ...]


def rows(organization: Organization, day: date, revisions: int | None = None) -> list[Row]:
    """The records of the day, by default with all revisions so far. About a third of the actors
    used two terminals, and have two records.
    """
    if revisions is None:
        revisions = organization.revisions(day)
    return [_revised(row, revisions) for row in _rows(organization, day)]


def _rows(organization: Organization, day: date) -> Iterator[Row]:
    for colleague, draws in Assistants(organization).active(CLAUDE_CODE, day):
        yield from _of_actor(colleague.email, False, draws)
    if day > organization.today:
        return
    for name in API_KEYS:
        draws = draw(f"{organization.seed}/{CLAUDE_CODE}/{name}/{day.toordinal()}")
        if not is_weekend(day):
            yield from _of_actor(name, True, draws)


def _of_actor(name: str, key: bool, draws: tuple[int, ...]) -> Iterator[Row]:
    first = draws[0] % len(_TERMINALS)
    yield _row(name, key, _TERMINALS[first], draws)
    if draws[1] % 3 == 0:
        yield _row(name, key, _TERMINALS[first - 1], draws[::-1])


def _row(name: str, key: bool, terminal: str, draws: tuple[int, ...]) -> Row:
    sessions = 1 + draws[2] % 5
    accepted, rejected = draws[3] % 30, draws[4] % 7
    edits = (
        (accepted, rejected),
        (draws[5] % 4, 0),
        (draws[6] % 9, draws[7] % 2),
        (0, draws[8] % 2),
    )
    return Row(
        name,
        key,
        terminal,
        sessions,
        accepted * (1 + draws[9] % 12),
        draws[10] % 60,
        draws[11] % 4,
        draws[12] % 3 // 2,
        edits,
        tuple(_spent(sessions, draws)),
    )


def _spent(sessions: int, draws: tuple[int, ...]) -> Iterator[Spent]:
    for place, model in enumerate(MODELS):
        number = draws[13 - place]
        if place and number % 4 == 0:
            continue  # not everybody uses both
        sent = sessions * (900 + number % 6000)
        tokens = (sent, sent // 6 + number % 77, sent * (number % 5), sent // 3)
        price = sum(each * many for each, many in zip(_PRICES[model], tokens, strict=True))
        yield Spent(model, tokens, price + tokens[2] // 7)


def _revised(row: Row, times: int) -> Row:
    for _ in range(times):
        row = row._replace(
            sessions=row.sessions + 1,
            added=row.added + row.added // 10 + 1,
            spent=tuple(each._replace(amount=each.amount + CENT) for each in row.spent),
        )
    return row
