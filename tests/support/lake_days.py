"""33 days with everything that records depend on, in local files and in a lake's tables."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
from msgspec.structs import replace
from pyiceberg.catalog.sql import SqlCatalog

from conftest import Home
from dashboard_scraper.github.active_people import COUNTS_OF_AREA
from dashboard_scraper.github.adoption import CLI, CODE_FIRST, REMOTE
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.figures import NOTHING_KNOWN
from dashboard_scraper.model.metrics import DETAILED, REQUIRED
from dashboard_scraper.model.usage import EditorLanguageUsage, UserUsage
from dashboard_scraper.store import DetailStatus, store_at
from dashboard_scraper.store.lake.place import CATALOG_FILE, NAMESPACE
from filled_store import FETCHED, MONTH, SOURCE, figures_of, put, some_days

ENTERPRISE = "283613"
STORED = Window(MONTH.start - timedelta(5), MONTH.end)
"""Adoption phases are known of days up to which 28 are stored."""


def fill(home: Home, *, pseudonyms: bool) -> None:
    """A store with unknown figures, service accounts, editors and languages, and credits.

    On every third day the editors and languages do not add up, and every fifth has no credits.
    """
    home.settings |= {
        "STORE_URL": f"sqlite:///{home.data / 'usage.db'}",
        "METRICS_SOURCE": SOURCE,
        "RECONCILE": "warn",
        "ENTERPRISE_ID": ENTERPRISE,
        "GITHUB_REPORTS_USERS_28_DAY": "true",
        "GITHUB_REPORTS_CREDITS": "true",
    }
    if pseudonyms:
        key = home.path / "key"
        key.write_text("5" * 64)
        key.chmod(0o600)
        home.settings["PSEUDONYM_KEY_FILE"] = f"{key}"
    draw = random.Random(2)
    days = some_days(len(STORED), users=5)
    for users in days.values():
        users[0] = _with_unknown(users[0], draw)
        users[1:4] = [
            _without(user, areas) for user, areas in zip(users[1:4], _UNUSED, strict=True)
        ]
        users.append(UserUsage("resting@example.com", RESTING))
    put(home.settings["STORE_URL"], days)
    store = store_at(home.settings["STORE_URL"])
    with store.locked(), store.opened():
        for number, (day, users) in enumerate(days.items()):
            parts = [part for user in users[:4] for part in _parts(user, draw)]
            status = DetailStatus.COMPLETE if number % 3 else DetailStatus.UNRECONCILED
            store.put_editor_languages(SOURCE, day, parts, status, FETCHED)
            if number % 5:
                store.put_credits(
                    SOURCE, day, {user.user: draw.random() for user in users}, FETCHED
                )


RESTING = replace(figures_of(chat_messages=None), active_days=0)
"""Of somebody who was not active, also where a count is unknown."""

_UNUSED = [(CLI, REMOTE, CODE_FIRST), (CLI, REMOTE), (CLI,)]
"""What three users never use, so that each is in another phase."""


def _without(user: UserUsage, areas: Iterable[str]) -> UserUsage:
    unused = {metric.name: 0 for area in areas for metric in COUNTS_OF_AREA[area]}
    return replace(user, figures=replace(user.figures, **unused))


def _with_unknown(user: UserUsage, draw: random.Random) -> UserUsage:
    unknown = {draw.choice(REQUIRED).name: None}
    return replace(user, figures=replace(user.figures, **unknown))


def _parts(user: UserUsage, draw: random.Random) -> list[EditorLanguageUsage]:
    """Half of the user's figures, in two places or in one."""
    halves = {metric.name: (user.figures[metric] or 0) // 2 for metric in DETAILED}
    places = [("VSCode", "Python"), ("JetBrains", 'C"é\\'), ("CLI", "Unknown")]
    chosen = draw.sample(places, draw.choice([1, 2]))
    names = [{m.name for m in DETAILED[at :: len(chosen)]} for at in range(len(chosen))]
    return [
        EditorLanguageUsage(
            user.user,
            editor,
            language,
            replace(
                NOTHING_KNOWN, **{name: n if name in mine else 0 for name, n in halves.items()}
            ),
        )
        for (editor, language), mine in zip(chosen, names, strict=True)
    ]


@dataclass(frozen=True)
class LocalFiles:
    """The lines of the local files of the month."""

    github: list[bytes]
    copilot: dict[date, list[bytes]]


def export_locally(home: Home) -> LocalFiles:
    """Export the month with the command line."""
    result = home.run("export", f"{MONTH.start}", f"{MONTH.end}")
    assert result.code == 0, result.err
    (folder,) = home.data.glob("daily_exports_*")
    files = {day: folder / f"copilot_metrics_{day}.json" for day in MONTH.days()}
    return LocalFiles(
        (folder / "github_reports" / "users-28-day.ndjson").read_bytes().splitlines(),
        {day: _records(path) for day, path in files.items()},
    )


def _records(path: Path) -> list[bytes]:
    return [line.removesuffix(b",") for line in path.read_bytes().splitlines()[1:-1]]


def export_to_lake(home: Home) -> dict[str, pa.Table]:
    """Export all days as Iceberg tables, and read them."""
    days = (f"{STORED.start}", f"{STORED.end}")
    result = home.run("export", *days, "--format", "iceberg")
    assert result.code == 0, result.err
    folder = home.data / "iceberg"
    catalog = SqlCatalog("lake", uri=f"sqlite:///{folder / CATALOG_FILE}", warehouse=f"{folder}")
    try:
        return {
            name: catalog.load_table((NAMESPACE, name)).scan().to_arrow()
            for name in ("user_days", "editor_language_days", "credit_days", "daily_totals")
        }
    finally:
        catalog.close()
