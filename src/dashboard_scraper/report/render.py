"""The page as HTML: figures, texts, style and scripts in one file that loads nothing else."""

from __future__ import annotations

import base64
import hashlib
from functools import cache

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from dashboard_scraper import __version__
from dashboard_scraper.model.dates import Window
from dashboard_scraper.people.audience import Audience
from dashboard_scraper.report.cost_page import cost_terms
from dashboard_scraper.report.figures import ReportFigures
from dashboard_scraper.report.gather import figures_of
from dashboard_scraper.report.options import REPORT, ReportOptions
from dashboard_scraper.report.page import completeness_of, sections_of, strip_of, tiles_of
from dashboard_scraper.report.texts import TERMS, many, two_lines, window_text
from dashboard_scraper.report.users import (
    ROWS_AT_ONCE,
    named_people,
    user_cells,
    user_rows,
    user_terms,
    users_notes,
)
from dashboard_scraper.sources.registry import info_of
from dashboard_scraper.store import Reader

_encode = msgspec.json.Encoder(decimal_format="number").encode  # in every digit
_STYLE = "report.css"
_SCRIPTS = ("vendor/d3.min.js", "vendor/plot.umd.min.js", "charts.js", "page.js")
"""In the order of their dependencies: Plot needs D3."""


def page_of(
    reader: Reader, source: str, window: Window, audience: Audience, options: ReportOptions
) -> bytes:
    """The page of a window of the store."""
    figures = figures_of(reader, source, window, audience, options)
    return rendered(figures, with_users=options.users)


def rendered(figures: ReportFigures, *, with_users: bool) -> bytes:
    """The page of the figures."""
    rows = user_rows(figures.now) if with_users else []
    sections = sections_of(figures, with_users=with_users)
    charts = {figure.name: figure.chart for each in sections for figure in each.figures}
    style, scripts = _asset(_STYLE), [_asset(name) for name in _SCRIPTS]
    text = (
        _environment()
        .get_template(REPORT)
        .render(
            figures=figures,
            source=info_of(figures.source).title,
            period=window_text(figures.now.window),
            before=window_text(figures.before.window),
            tiles=tiles_of(figures),
            completeness=completeness_of(figures),
            strip=strip_of(figures.now),
            sections=sections,
            charts=_embedded(charts),
            terms=[*TERMS, *(cost_terms(figures.costs) if figures.costs else ())],
            with_users=with_users,
            user_terms=user_terms(),
            users=rows[:ROWS_AT_ONCE],
            cells=user_cells(rows[:ROWS_AT_ONCE]),
            found=many(len(rows), "user"),
            users_notes=users_notes(figures.now, rows),
            named=named_people(figures),
            rows_at_once=ROWS_AT_ONCE,
            data=_embedded(rows),
            style=style,
            scripts=scripts,
            style_hash=_hash(_STYLE),
            script_hashes=[_hash(name) for name in _SCRIPTS],
            version=__version__,
        )
    )
    return text.encode()


_TEMPLATES = PackageLoader("dashboard_scraper")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=_TEMPLATES,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["two_lines"] = two_lines
    return environment


@cache
def _asset(name: str) -> Markup:
    """A style sheet or script of the package, embedded without escaping."""
    text = _TEMPLATES.get_source(_environment(), name)[0]
    return Markup(text)  # noqa: S704


@cache
def _hash(name: str) -> str:
    """The hash of an embedded style or script, as the page's Content-Security-Policy allows it."""
    digest = hashlib.sha256(_asset(name).encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def _embedded(rows: object) -> Markup:
    """JSON to embed in an element, escaped so that a `</script>` in a name cannot end it."""
    text = _encode(rows).decode()
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704 - no character in it is special in HTML
