"""The page on what may be compared across assistants, made from the catalogue and the sources."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dashboard_scraper.model.meanings import Basis, are_comparable
from dashboard_scraper.model.metrics import METRICS, Metric
from dashboard_scraper.sources.interface import SourceInfo
from dashboard_scraper.sources.registry import SOURCES, info_of

_HEAD = """\
# Comparing assistants

<!-- Generated from the metric catalogue and the sources by `make docs`; do not edit. -->

Which figures of two assistants can be compared, and which cannot. The [report of several
sources](report.md#several-assistants) follows these rules: figures that cannot be compared are
never added up and never drawn on one axis.
"""

_PEOPLE = """\
## What may be compared

- **People**: who is active on a day, in a week or in a period; newcomers, leavers, adoption by
  team; how many people use one assistant, and how many use several. Each source has its own rule
  for "active" (see below), and the report prints it beside the chart.
- **Seats**, and how many of them are not used. Their cost is the price that you set times their
  number.
- **These figures**, between sources that count in the same way:
"""

_NOT = """\
## What may not be compared

Everything else. In particular, several assistants report these metrics, but each counts something
different:
"""

_MONEY = """\
- **Money**: billed amounts are on a bill, estimated ones are not. They are never added up or drawn
  on one axis, and neither are amounts in two currencies.
- **Tokens**: vendors differ in whether input tokens include those from the cache. Compare each
  class of tokens separately, or not at all.
"""

_ACTIVE = """\
## Who is active on a day
"""

_METRICS = """\
## Every metric in every source

A source that is not in a metric's table does not report the metric: its value is unknown, an empty
cell in the CSV, and never 0.
"""


def document() -> str:
    """The whole page, in Markdown."""
    sources = [info_of(name) for name in SOURCES]
    return "\n".join(
        [
            _HEAD,
            _PEOPLE,
            *_comparable(sources),
            "",
            _NOT,
            *_incomparable(sources),
            _MONEY,
            _ACTIVE,
            *_rules(sources),
            "",
            _METRICS,
            *(line for metric in METRICS for line in _metric(metric, sources)),
        ]
    )


def _knowing(metric: Metric, sources: Sequence[SourceInfo]) -> list[SourceInfo]:
    return [info for info in sources if metric in info.meanings]


def _products(sources: Sequence[SourceInfo]) -> set[str]:
    return {info.product.name for info in sources}


def _comparable(sources: Sequence[SourceInfo]) -> Iterator[str]:
    """The metrics that several sources have on one basis; those of one product are one line."""
    yield from ("| Figure | What is counted | Sources |", "|---|---|---|")
    for metric in METRICS:
        for basis in Basis:
            those = [i for i in _knowing(metric, sources) if i.meanings[metric].basis is basis]
            if len(those) > 1 and basis is not Basis.AUGMENT:
                names = ", ".join(info.title for info in those)
                yield f"| {metric.title} | {basis.value} | {names} |"
    same = [info.title for info in sources if _has(info, Basis.AUGMENT)]
    yield f"| All other metrics | {Basis.AUGMENT.value} | {' and '.join(same)} |"


def _has(info: SourceInfo, basis: Basis) -> bool:
    return any(meaning.basis is basis for meaning in info.meanings.values())


def _incomparable(sources: Sequence[SourceInfo]) -> Iterator[str]:
    """The metrics of several assistants of which no two are comparable, and what each counts."""
    for metric in METRICS:
        knowing = _knowing(metric, sources)
        if len(_products(knowing)) > 1 and not _any_comparable(metric, knowing):
            counted = "; ".join(f"{info.title}: {_meaning_of(metric, info)}" for info in knowing)
            yield f"- **{metric.title}**: {counted}."


def _any_comparable(metric: Metric, sources: Sequence[SourceInfo]) -> bool:
    return any(
        are_comparable(metric, one.meanings, other.meanings)
        for one in sources
        for other in sources
        if one.product != other.product
    )


def _meaning_of(metric: Metric, info: SourceInfo) -> str:
    text = info.meanings[metric].definition or metric.definition
    return text[:1].lower() + text[1:] if text[1:2].islower() else text


def _rules(sources: Sequence[SourceInfo]) -> Iterator[str]:
    yield from (
        "| Source | What makes a user active on a day | Known to be left out |",
        "|---|---|---|",
    )
    for info in sources:
        yield f"| {info.title} | {info.active_rule} | {info.leaves_out or '-'} |"


def _metric(metric: Metric, sources: Sequence[SourceInfo]) -> Iterator[str]:
    yield from (f"### {metric.title}", "", f"`{metric.name}`: {metric.definition}.", "")
    knowing = _knowing(metric, sources)
    if not knowing:
        yield from ("No source reports it.", "")
        return
    yield from ("| Source | Field | What it counts there | Comparable with |", "|---|---|---|---|")
    for info in knowing:
        meaning = info.meanings[metric]
        field = f"`{meaning.field}`" if meaning.field else "-"
        others = [
            other.title
            for other in knowing
            if other is not info and are_comparable(metric, info.meanings, other.meanings)
        ]
        counted = meaning.definition or "as above"
        yield f"| {info.title} | {field} | {counted} | {', '.join(others) or 'nothing'} |"
    yield ""
