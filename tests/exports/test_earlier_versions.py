"""Files that earlier versions of the program wrote with faults are not used, but made again."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from msgspec.structs import replace

from conftest import Home
from dashboard_scraper.exports.manifest import MANIFEST
from dashboard_scraper.model.usage import DayUsage, UserUsage
from dashboard_scraper.sources.registry import DASHBOARD
from dashboard_scraper.store import store_at
from made_up_days import FETCHED, LAST, figures_of
from singer_target import fresh, kinds, sync

# The `made_from` of these versions for the day below.
BEFORE_IDLE_SPELLINGS_MADE_NOBODY_ACTIVE = {
    f"augment_metrics_{LAST}.csv": "ab36c5f46d1aeb42b8f77c12823e92e7",
    f"copilot_metrics_{LAST}.json": "0927d26955b64d03ac1d9542ab643306",
}
TAP_BEFORE_IDLE_SPELLINGS_MADE_NOBODY_ACTIVE = "2b54a26eea03786f"
BEFORE_PSEUDONYMS_LEFT_WORDS_WHOLE = b"c2055334c903b6cf"
STALE = b"what an earlier version wrote"


@pytest.fixture
def stored(home: Home) -> Home:
    """A home with a day of somebody with two idle spellings; another user's field has a name."""
    idle = figures_of({})
    people = [
        UserUsage("Eve@example.com", replace(idle, chat_messages=None, active_days=0)),
        UserUsage(
            "ben@example.com", figures_of({"chat_messages": 3}), {"boss": "ada@example.com."}
        ),
        UserUsage("eve@example.com", idle),
    ]
    home.data.mkdir()
    home.settings["STORE_URL"] = f"sqlite:///{home.data / 'usage.db'}"
    store = store_at(home.settings["STORE_URL"])
    with store.locked(), store.opened():
        store.put(DASHBOARD, DayUsage(LAST, people, {}), FETCHED)
    return home


def export(home: Home, *options: str) -> Path:
    result = home.run("export", f"{LAST}", f"{LAST}", *options)
    assert result.code == 0, result.err
    return Path(result.out.splitlines()[0])


def test_files_of_a_day_are_written_again(stored: Home) -> None:
    folder = export(stored)
    manifest = json.loads((folder / MANIFEST).read_bytes())
    (day,) = manifest["days"]
    written = {}
    for listed in day["files"]:
        if made_from := BEFORE_IDLE_SPELLINGS_MADE_NOBODY_ACTIVE.get(listed["name"]):
            path = folder / listed["name"]
            written[path] = path.read_bytes()
            path.write_bytes(STALE)
            listed |= {
                "size": len(STALE),
                "sha256": hashlib.sha256(STALE).hexdigest(),
                "made_from": made_from,
            }
    (folder / MANIFEST).write_text(json.dumps(manifest))
    export(stored)
    assert {path: path.read_bytes() for path in written} == written


def test_parquet_of_a_day_is_written_again(stored: Home) -> None:
    key = stored.path / "key"
    key.write_text("k" * 64)
    key.chmod(0o600)
    stored.settings["PSEUDONYM_KEY_FILE"] = f"{key}"
    options = "--format", "parquet", "--out", f"{stored.path / 'lake'}"
    (path,) = export(stored, *options).rglob("user_days.parquet")
    written = pq.ParquetFile(path).read()
    stale = written.slice(1).replace_schema_metadata(
        {b"content": BEFORE_PSEUDONYMS_LEFT_WORDS_WHOLE}
    )
    pq.write_table(stale, path)
    export(stored, *options)
    assert pq.ParquetFile(path).read() == written


def test_tap_sends_a_day_again(stored: Home) -> None:
    target = fresh(stored)
    assert not kinds(sync(stored, target), stream="user_days")
    bookmark = target.state["bookmarks"]["user_days"]
    bookmark["made_with"] = TAP_BEFORE_IDLE_SPELLINGS_MADE_NOBODY_ACTIVE
    assert len(kinds(sync(stored, target), stream="user_days")) == len(target.rows("user_days"))
