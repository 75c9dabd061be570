"""The page as HTML: figures, texts, style and scripts in one file that loads nothing else."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from dashboard_scraper import __version__
from dashboard_scraper.beside import beside
from dashboard_scraper.model.dates import Window
from dashboard_scraper.people.audience import Audience
from dashboard_scraper.report.charts import source_style
from dashboard_scraper.report.completeness import completeness_of, strip_of
from dashboard_scraper.report.figures import ReportFigures
from dashboard_scraper.report.gather import figures_of
from dashboard_scraper.report.options import REPORT, ReportOptions
from dashboard_scraper.report.page import sections_of, tiles_of
from dashboard_scraper.report.parts import SourcePart, TogetherPart
from dashboard_scraper.report.texts import two_lines, window_text
from dashboard_scraper.report.together import Together, together_of
from dashboard_scraper.report.together_page import (
    coverage_of,
    labels_of,
    sections_together,
    tiles_together,
)
from dashboard_scraper.report.together_tables import Labels
from dashboard_scraper.report.users import user_table
from dashboard_scraper.sources.registry import info_of
from dashboard_scraper.store import Reader, Run, Store

_encode = msgspec.json.Encoder(decimal_format="number").encode  # with every digit
_SEVERAL = "Usage of AI coding assistants"
_MACROS = "macros.html"
_STYLE = "report.css"
_SCRIPTS = ("vendor/d3.min.js", "vendor/plot.umd.min.js", "charts.js", "page.js")
"""In the order of their dependencies: Plot needs D3."""


def load_assets() -> None:
    """Prepare what every page needs: compile the templates, read and hash the style and the
    scripts.
    """
    for name in (REPORT, _MACROS):
        _environment().get_template(name)
    for name in (_STYLE, *_SCRIPTS):
        _hash(name)


def page_of(
    reader: Reader,
    sources: Sequence[str],
    window: Window,
    audience: Audience,
    options: ReportOptions,
    store: Store | None = None,
) -> bytes:
    """The page of a window of the store: of one source, or of several side by side.

    With the reader's `store`, it is read on two connections if that is faster.
    """
    loaded = beside(load_assets)
    figures = [
        figures_of(reader, source, window, audience.of(source), options, store=store)
        for source in sources
    ]
    loaded()
    together = together_of(reader, figures, audience, options) if len(figures) > 1 else None
    runs = [run for run in reader.newest_runs() if run.source in sources]
    return rendered(figures, together, runs, with_users=options.users)


def rendered(
    several: Sequence[ReportFigures],
    together: Together | None = None,
    runs: Sequence[Run] = (),
    *,
    with_users: bool,
) -> bytes:
    """The page of each source's figures of one window and, if there are several, of all `together`;
    the footer has the newest `runs`.
    """
    labels = labels_of([figures.source for figures in several])
    head = _compared(together, labels) if together else None
    parts = [
        _part(figures, labels, together=head is not None, with_users=with_users)
        for figures in several
    ]
    sections = [(part.prefix, section) for part in parts for section in part.sections]
    sections += [("", section) for section in (head.sections if head else ())]
    charts = {
        f"{prefix}{figure.name}": figure.chart
        for prefix, section in sections
        for figure in section.figures
    }
    terms = {term.key: term for part in (head, *parts) if part for term in part.terms()}
    style, scripts = _asset(_STYLE), [_asset(name) for name in _SCRIPTS]
    now, before = several[0].now, several[0].before
    text = (
        _environment()
        .get_template(REPORT)
        .render(
            together=head,
            heading=_SEVERAL if head else f"{info_of(several[0].source).product.name} usage",
            period=window_text(now.window),
            compared=[window_text(before.window)] if any(f.before.stored for f in several) else [],
            parts=parts,
            charts=_embedded(charts),
            terms=terms.values(),
            runs=[(info_of(run.source).title, run) for run in runs],
            style=style,
            scripts=scripts,
            style_hash=_hash(_STYLE),
            script_hashes=[_hash(name) for name in _SCRIPTS],
            version=__version__,
        )
    )
    return text.encode()


def _compared(together: Together, labels: Labels) -> TogetherPart:
    return TogetherPart(
        together.incomplete,
        coverage_of(together, labels),
        tiles_together(together),
        sections_together(together, labels),
    )


def _part(
    figures: ReportFigures, labels: Labels, *, together: bool, with_users: bool
) -> SourcePart:
    """A source's part, with its own heading if there are several sources."""
    return SourcePart(
        figures.source,
        labels[figures.source],
        info_of(figures.source).title,
        source_style(figures.source),
        f"{figures.source}-" if together else "",
        3 if together else 2,
        figures.fetched,
        bool(figures.now.missing),
        completeness_of(figures),
        strip_of(figures.now),
        tiles_of(figures),
        sections_of(figures, with_users=with_users),
        user_table(figures) if with_users else None,
    )


_TEMPLATES = PackageLoader("dashboard_scraper")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=_TEMPLATES,
        auto_reload=False,  # templates of a version installed meanwhile are not ours
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["two_lines"] = two_lines
    environment.filters["embedded"] = _embedded
    return environment


@cache
def _asset(name: str) -> Markup:
    """A style sheet or script of the package, to be embedded without escaping."""
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
