"""The page on exports: its text is written by hand, the table of outputs by source is generated."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from dashboard_scraper.exports.copilot_converter import NEEDS as COPILOT_NEEDS
from dashboard_scraper.github.reports import NEEDS as GITHUB_NEEDS
from dashboard_scraper.output import Needs
from dashboard_scraper.sources.interface import SourceInfo
from dashboard_scraper.sources.registry import SOURCES, info_of
from page_tables import with_tables

PAGE = Path(__file__).parents[1] / "docs" / "exports.md"
_BEGIN = "<!-- Generated from the sources by `make docs`; do not edit this table. -->\n"
_END = "<!-- The end of the generated table of sources. -->\n"
_NO = "no"


def document() -> str:
    """The whole page as it is now, with the table as the sources have it."""
    sources = [info_of(name) for name in SOURCES]
    return with_tables(PAGE, _BEGIN, _END, "\n".join([*_outputs(sources), *_lacking(sources)]))


def _outputs(sources: list[SourceInfo]) -> Iterator[str]:
    rows = {
        "CSV of a day": [f"`{each.product.prefix}_metrics_…`" for each in sources],
        "CSV of costs, where there are any": [
            f"`{each.product.prefix}_costs_…`" if each.has_costs else _NO for each in sources
        ],
        "Copilot JSON": [_made(COPILOT_NEEDS, each) for each in sources],
        "GitHub's reports, files and `serve`": [
            "as they came" if each.has_records else _made(GITHUB_NEEDS, each) for each in sources
        ],
        "Page, Parquet, lake": ["yes"] * len(sources),
        "FOCUS: service and vendor": [
            f"{each.product.name}, {each.product.vendor}" if each.has_costs else _NO
            for each in sources
        ],
    }
    yield f"| Output | {' | '.join(each.title for each in sources)} |"
    yield "|---" * (len(sources) + 1) + "|"
    for name, cells in rows.items():
        yield f"| {name} | {' | '.join(cells)} |"
    yield ""


def _made(needs: Needs, source: SourceInfo) -> str:
    return _NO if needs.unmet(source) else "yes"


def _lacking(sources: list[SourceInfo]) -> Iterator[str]:
    yield "What is not written would need these figures, which the source does not have:"
    yield ""
    for source in sources:
        if lacking := source.lacks(COPILOT_NEEDS.metrics):
            yield f"- {source.title}: {', '.join(metric.title for metric in lacking)}"
    yield ""
