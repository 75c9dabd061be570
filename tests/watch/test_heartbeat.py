"""The heartbeat file, and the health check that reads it."""

from __future__ import annotations

import errno
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dashboard_scraper.errors import Stale
from dashboard_scraper.watch.heartbeat import (
    ENDED,
    RUNNING,
    WAITING,
    Heartbeat,
    HeartbeatFile,
    raise_unless_alive,
)

NOW = datetime(2026, 3, 2, 3, 5, tzinfo=UTC)
BEAT = Heartbeat(WAITING, 1, NOW, next_run=NOW)


def test_beat_is_fresh_for_five_minutes(tmp_path: Path) -> None:
    path = tmp_path / "new" / "watch.json"
    HeartbeatFile(path, 0o640).beat(BEAT, NOW)
    assert raise_unless_alive(path, NOW + timedelta(minutes=5)) == BEAT
    assert path.stat().st_mode & 0o777 == 0o640
    with pytest.raises(Stale, match="silent: its last heartbeat was 301 s ago"):
        raise_unless_alive(path, NOW + timedelta(seconds=301))


def test_beat_of_a_clock_that_was_ahead_is_not_fresh(tmp_path: Path) -> None:
    """A process that is alive beats again within a minute."""
    path = tmp_path / "watch.json"
    file = HeartbeatFile(path, 0o600)
    file.beat(BEAT, NOW + timedelta(minutes=5))
    assert raise_unless_alive(path, NOW) == BEAT
    file.beat(BEAT, NOW + timedelta(days=1))
    with pytest.raises(Stale, match="its last heartbeat is 86400 s ahead"):
        raise_unless_alive(path, NOW)
    file.beat(BEAT, NOW + timedelta(minutes=1))
    assert raise_unless_alive(path, NOW + timedelta(minutes=1)) == BEAT


def test_beat_without_news_only_sets_the_time(tmp_path: Path) -> None:
    path = tmp_path / "watch.json"
    file = HeartbeatFile(path, 0o600)
    file.beat(BEAT, NOW)
    written = path.stat().st_ino
    file.beat(BEAT, NOW + timedelta(minutes=1))
    assert (path.stat().st_ino, path.stat().st_mtime) == (written, NOW.timestamp() + 60)


def test_ended_process_is_not_healthy(tmp_path: Path) -> None:
    path = tmp_path / "watch.json"
    with pytest.raises(Stale, match="has never run here"):
        raise_unless_alive(path, NOW)
    HeartbeatFile(path, 0o600).beat(Heartbeat(ENDED, 1, NOW), NOW)
    with pytest.raises(Stale, match="watch has ended"):
        raise_unless_alive(path, NOW)
    path.write_text("{")
    with pytest.raises(Stale, match="cannot be read"):
        raise_unless_alive(path, NOW)


def test_process_that_ends_leaves_the_file_to_a_newer_one(tmp_path: Path) -> None:
    """For example, if a container is started before the one that it replaces has ended."""
    path = tmp_path / "watch.json"
    old, new = (HeartbeatFile(path, 0o600) for _ in range(2))
    old.beat(BEAT, NOW)
    newer = Heartbeat(WAITING, 1, NOW + timedelta(minutes=1), next_run=NOW)
    new.beat(newer, NOW)
    old.beat(Heartbeat(ENDED, 1, NOW), NOW)
    assert raise_unless_alive(path, NOW) == newer


def test_lost_file_is_written_again(tmp_path: Path) -> None:
    path = tmp_path / "watch.json"
    file = HeartbeatFile(path, 0o600)
    file.beat(BEAT, NOW)
    path.unlink()
    file.beat(BEAT, NOW)
    assert raise_unless_alive(path, NOW) == BEAT


def test_full_disk_does_not_stop_the_heart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "watch.json"
    file = HeartbeatFile(path, 0o600)
    file.beat(BEAT, NOW)

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    later = NOW + timedelta(minutes=6)
    for _ in range(2):
        file.beat(Heartbeat(RUNNING, 1, NOW), later)
    assert raise_unless_alive(path, later) == BEAT
    assert len([r for r in caplog.records if "No space left" in r.getMessage()]) == 1
    monkeypatch.undo()
    file.beat(Heartbeat(RUNNING, 1, NOW), later)
    assert json.loads(path.read_bytes())["state"] == RUNNING
