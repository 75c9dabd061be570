"""The program in its own environment, on a demo's store, started as a Singer runner does."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

PROJECT = Path(__file__).parents[3]
PYTHON = PROJECT / ".venv" / "bin" / "python"

# Stores the newest day again without its first person and with doubled figures of the others.
_REVISION = """
import sys
from datetime import UTC, date, datetime
from msgspec.structs import replace
from dashboard_scraper.model.metrics import COUNTS
from dashboard_scraper.model.usage import DayUsage
from dashboard_scraper.store import store_at
url, source, day = sys.argv[1], sys.argv[2], date.fromisoformat(sys.argv[3])
store = store_at(url)
with store.reading() as reader:
    _, *users = reader.day(reader.ledger(source)[day]).users
def doubled(figures):
    counts = {m.name: figures[m] for m in COUNTS}
    return replace(figures, **{name: n and 2 * n for name, n in counts.items()})
users = [replace(user, figures=doubled(user.figures)) for user in users]
with store.locked(), store.opened():
    store.put(source, DayUsage(day, users), datetime.now(UTC))
"""


@dataclass(frozen=True)
class Program:
    """The program with a folder that has the store of a demo of every assistant."""

    folder: Path

    @property
    def store(self) -> Path:
        return self.folder / "data" / "demo" / "usage.db"

    @property
    def environment(self) -> dict[str, str]:
        sources = [row["source"] for row in self.rows("SELECT DISTINCT source FROM runs")]
        return {
            "PATH": os.environ["PATH"],
            "METRICS_SOURCE": "all",
            "SOURCES": ",".join(sorted(sources)),
            "STORE_URL": f"sqlite:///{self.store}",
        }

    def run(self, *words: str) -> str:
        """Run the program, which must succeed; returns its standard output."""
        done = subprocess.run(
            [PYTHON, "-m", "dashboard_scraper", words[0], "--home", self.folder, *words[1:]],
            env=self.environment if self.store.exists() else {"PATH": os.environ["PATH"]},
            stdout=subprocess.PIPE,
            stderr=None if words[0] != "demo" else subprocess.DEVNULL,
            text=True,
            check=True,
        )
        return done.stdout

    def tap(self, state: Any = None) -> str:
        """The messages that follow a state."""
        if state is None:
            return self.run("tap", "--log-level", "ERROR")
        file = self.folder / "state.json"
        file.write_text(json.dumps(state))
        return self.run("tap", "--log-level", "ERROR", "--state", f"{file}")

    def rows(self, query: str) -> list[dict[str, Any]]:
        """The rows that an SQL query returns."""
        with closing(sqlite3.connect(f"file:{self.store}?mode=ro", uri=True)) as store:
            store.row_factory = sqlite3.Row
            return [dict(row) for row in store.execute(query)]

    def revise(self, source: str, day: str) -> None:
        """Store a later answer for a day."""
        url = self.environment["STORE_URL"]
        subprocess.run([PYTHON, "-c", _REVISION, url, source, day], check=True)


@cache
def demo() -> Program:
    """A demo of a few people."""
    program = Program(Path(mkdtemp(prefix="singer-")))
    program.run("demo", "--source", "all", "--users", "4")
    return program
