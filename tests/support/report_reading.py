"""A report read from its HTML as a person would read it: numbers, tables, lists."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

_VOID = {"meta", "link", "input", "wbr"}


@dataclass
class Report:
    """`numbers` by their term's key, in the order of the page; tables by their ids."""

    text: str
    numbers: dict[str, list[str]] = field(default_factory=dict)
    tables: dict[str, list[list[str]]] = field(default_factory=dict)
    links: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    rows: list[list[Any]] | None = None
    charts: dict[str, dict[str, Any]] = field(default_factory=dict)
    words: str = ""

    def number(self, key: str) -> str:
        return self.numbers[key][0]

    def column(self, table: str, title: str) -> dict[str, str]:
        """One column, by the names of the rows."""
        head, *rows = self.tables[table]
        return {row[0]: row[head.index(title)] for row in rows}


class _Reader(HTMLParser):
    def __init__(self, report: Report) -> None:
        super().__init__()
        self._report = report
        self._open: list[tuple[str, dict[str, str]]] = []
        self._number = self._table = ""
        self._words: list[str] = []

    def handle_starttag(self, tag: str, attrs: Iterable[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self._report.tags.append(tag)
        self._report.links += [found[name] for name in ("href", "src", "action") if name in found]
        self._number = found.get("data-number", self._number)
        if tag == "table":
            self._table = found["id"]
            self._report.tables[self._table] = []
        elif tag == "tr":
            self._report.tables[self._table].append([])
        elif tag in ("td", "th"):
            self._report.tables[self._table][-1].append("")
        if tag not in _VOID:
            self._open.append((tag, found))

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            row = self._report.tables[self._table][-1]
            row[-1] = " ".join(row[-1].split())
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        tags = [tag for tag, _ in self._open]
        if not self._open or tags[-1] in ("style", "script"):
            name = self._open[-1][1].get("id") if self._open else None
            if name == "table-data":
                self._report.rows = json.loads(data)
            elif name == "chart-data":
                self._report.charts = json.loads(data)
            return
        if self._open[-1][1].get("class") == "value" and tags[-1] == "p":
            self._report.numbers.setdefault(self._number, []).append(data)
        if "td" in tags or "th" in tags:
            self._report.tables[self._table][-1][-1] += data
        elif "svg" not in tags:
            self._words.append(data)

    def close(self) -> None:
        super().close()
        self._report.words = " ".join(" ".join(self._words).split())


def without_code(text: str) -> str:
    """The page without its style and scripts, which are the same in all pages."""
    return re.sub(r"<(style|script)>.*?</\1>", "", text, flags=re.DOTALL)


def read_report(page: Path) -> Report:
    return read_text(page.read_text(encoding="utf-8"))


def read_text(text: str) -> Report:
    report = Report(text)
    reader = _Reader(report)
    reader.feed(text)
    reader.close()
    return report
