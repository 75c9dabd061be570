"""The Claude Code Analytics API of the Claude Console: one day per request, in pages."""

from __future__ import annotations

from datetime import date
from hashlib import blake2b

import msgspec

from dashboard_scraper.simulator.api import Api, Stage, wrong_method
from dashboard_scraper.simulator.claude_code import CENT, TOOLS, Row, Spent, rows
from dashboard_scraper.simulator.exchange import (
    Answer,
    AnswerError,
    Request,
    cursor_at,
    json_answer,
    offset_of,
)
from dashboard_scraper.simulator.organization import Organization

PATH = "/v1/organizations/usage_report/claude_code"
VERSION = "2023-06-01"
MOST = 1000
"""The most records on a page."""
_USUAL = 20
_MOST_RECORDS = 10_000_000  # in a cursor, the number of revisions is multiplied by this
_PARAMETERS = {"starting_at", "limit", "page"}

Json = dict[str, object]


class ClaudeCodeApi(Api):
    """The report, for clients that send the organization's Admin key.

    A page has at most `most` records, whatever limit the request has.
    """

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        digest = blake2b(f"{stage.organization.seed}/claude".encode(), digest_size=20)
        self.key = f"sk-ant-admin01-{digest.hexdigest()}"
        self.most = MOST
        # The real limit is not documented.
        self._bucket = stage.bucket(60, 20)

    def handles(self, request: Request) -> bool:
        return request.path == PATH

    def refusal(self, request: Request) -> Answer | None:
        if request.method != "GET":
            return wrong_method("GET")
        if request.headers.get("x-api-key") != self.key:
            return _refused(AnswerError(401, "authentication_error", "invalid x-api-key"))
        retry_after = self._bucket.take() if self._bucket else None
        if retry_after is not None:
            refused = _refused(AnswerError(429, "rate_limit_error", "rate limit exceeded"))
            return refused.with_headers(("retry-after", retry_after))
        if request.headers.get("anthropic-version") != VERSION:
            return _refused(_invalid("anthropic-version: header is required"))
        return None

    def honest_answer(self, organization: Organization, request: Request) -> Answer:
        try:
            return json_answer(_report(organization, request.query, self.most))
        except AnswerError as error:
            return _refused(error)


def _report(organization: Organization, query: dict[str, str], most: int) -> Json:
    if others := sorted(query.keys() - _PARAMETERS):
        raise _invalid(f"{others[0]}: extra inputs are not permitted")
    day = _day(query.get("starting_at"))
    limit = query.get("limit", f"{_USUAL}")
    if not (limit.isascii() and limit.isdigit() and 1 <= int(limit) <= MOST):
        raise _invalid(f"limit: must be between 1 and {MOST}")
    # The cursor says how often the day had been revised when its first page was sent: the other
    # pages show the day as it was then.
    scope = f"{PATH} {day} {limit}"
    page = query.get("page")
    revisions = organization.revisions(day)
    if page is None:
        first = 0
    else:
        revisions, first = divmod(offset_of(page.removeprefix("page_"), scope), _MOST_RECORDS)
    found = rows(organization, day, revisions)
    until = first + min(int(limit), most)
    following = cursor_at(revisions * _MOST_RECORDS + until, scope)
    has_more = until < len(found)
    return {
        "data": [_record(organization, day, row) for row in found[first:until]],
        "has_more": has_more,
        "next_page": f"page_{following}" if has_more else None,
    }


def _day(text: str | None) -> date:
    try:
        return date.fromisoformat(text or "")
    except ValueError:
        raise _invalid("starting_at: write YYYY-MM-DD") from None


def _record(organization: Organization, day: date, row: Row) -> Json:
    named = "api_key_name" if row.key else "email_address"
    return {
        "date": f"{day}T00:00:00Z",
        "actor": {"type": "api_actor" if row.key else "user_actor", named: row.name},
        "organization_id": f"00000000-0000-4000-8000-{organization.seed:012}",
        "customer_type": "api",
        "terminal_type": row.terminal,
        "core_metrics": {
            "num_sessions": row.sessions,
            "lines_of_code": {"added": row.added, "removed": row.removed},
            "commits_by_claude_code": row.commits,
            "pull_requests_by_claude_code": row.pull_requests,
        },
        "tool_actions": {
            tool: {"accepted": accepted, "rejected": rejected}
            for tool, (accepted, rejected) in zip(TOOLS, row.edits, strict=True)
        },
        "model_breakdown": [_model(spent) for spent in row.spent],
    }


def _model(spent: Spent) -> Json:
    names = ("input", "output", "cache_read", "cache_creation")
    return {
        "model": spent.model,
        "tokens": dict(zip(names, spent.tokens, strict=True)),
        "estimated_cost": {"currency": "USD", "amount": _cents(spent.amount)},
    }


def _cents(amount: int) -> msgspec.Raw:
    """A JSON number, exact in every digit; with a fraction only if there is one."""
    whole, fraction = divmod(amount, CENT)
    digits = f"{fraction:04}".rstrip("0")
    return msgspec.Raw(f"{whole}.{digits}".rstrip(".").encode())


def _invalid(message: str) -> AnswerError:
    return AnswerError(400, "invalid_request_error", message)


def _refused(error: AnswerError) -> Answer:
    body = {"type": "error", "error": {"type": error.code, "message": error.message}}
    return json_answer(body, error.status)
