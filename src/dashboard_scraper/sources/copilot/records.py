"""GitHub's records, strictly: every documented field with its type, and the names of all others."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Generic, TypeVar

import msgspec

from dashboard_scraper.decoding import UNDECODABLE, decodable, decoding, with_spelled_numbers
from dashboard_scraper.errors import ContractBroken
from dashboard_scraper.model.dates import Window
from dashboard_scraper.sources.rest.claimed_days import refuse_other_days
from dashboard_scraper.sources.rest.repeated_keys import refuse_repeated_keys
from dashboard_scraper.sources.rest.unknown_fields import Fate, UnknownFields
from dashboard_scraper.sources.rest.wire_types import Count, Number

_Id = Annotated[int, msgspec.Meta(ge=1, lt=2**53)]
_Object = dict[str, Any]

REPORT_DAYS = ("report_start_day", "report_end_day")
"""Fields that a report of several days repeats in each record: no part of the user-day."""


class Generated(msgspec.Struct):
    """The counters that GitHub has by language; the others are of prompts, which have none."""

    code_generation_activity_count: Count
    code_acceptance_activity_count: Count
    loc_suggested_to_add_sum: Count
    loc_suggested_to_delete_sum: Count
    loc_added_sum: Count
    loc_deleted_sum: Count


class Counters(Generated):
    """All seven counters."""

    user_initiated_interaction_count: Count


class FeatureRow(Counters):
    """The counters of one feature."""

    feature: str


class _IdeRow(Counters):
    ide: str
    last_known_ide_version: _Object | None = None
    last_known_plugin_version: _Object | None = None


class _LanguageFeatureRow(Generated):
    language: str
    feature: str


class _LanguageModelRow(Generated):
    language: str
    model: str


class _ModelFeatureRow(Counters):
    model: str
    feature: str


class _CliTotals(msgspec.Struct):
    session_count: Count
    request_count: Count
    prompt_count: Count
    token_usage: _Object | None = None


class _AgentRow(msgspec.Struct):
    agent_id: str
    user_initiated_interaction_count: Count


class _WindowTotals(msgspec.Struct):
    session_count: Count
    total_user_messages: Count


class Record(Counters, kw_only=True):
    """The fields that the records of a user and of a whole day have in common."""

    day: date
    enterprise_id: str | None = None
    organization_id: str | None = None
    totals_by_ide: list[_IdeRow]
    totals_by_feature: list[FeatureRow]
    totals_by_language_feature: list[_LanguageFeatureRow]
    totals_by_language_model: list[_LanguageModelRow]
    totals_by_model_feature: list[_ModelFeatureRow]
    totals_by_cli: _CliTotals | None = None
    totals_by_copilot_app: _CliTotals | None = None
    totals_by_3rd_party_agent: list[_AgentRow] | None = None
    totals_by_vscode_agent: _WindowTotals | None = None
    totals_by_skill: list[_Object] | None = None
    totals_by_custom_agent: list[_Object] | None = None
    totals_by_mcp: list[_Object] | None = None
    totals_by_slash_cmd: list[_Object] | None = None
    totals_by_plugin: list[_Object] | None = None
    distinct_skill_use_count: Count | None = None
    distinct_custom_agent_use_count: Count | None = None
    distinct_mcp_use_count: Count | None = None
    distinct_slash_cmd_use_count: Count | None = None
    distinct_plugin_use_count: Count | None = None
    etl_id: str | None = None
    day_partition: str | None = None
    entity_id_partition: int | None = None


@decodable
class UserRecord(Record, kw_only=True):
    """One user on one day."""

    user_id: _Id
    user_login: Annotated[str, msgspec.Meta(min_length=1)]
    used_agent: bool
    used_chat: bool
    ai_credits_used: Number | None = None
    used_cli: bool | None = None
    used_copilot_coding_agent: bool | None = None
    used_copilot_cloud_agent: bool | None = None
    used_copilot_code_review_active: bool | None = None
    used_copilot_code_review_passive: bool | None = None
    used_copilot_app: bool | None = None
    used_vscode_agent: bool | None = None
    ai_adoption_phase: _Object | None = None


@decodable
class DayRecord(Record, kw_only=True):
    """The enterprise or organization on one day."""

    daily_active_users: Count
    weekly_active_users: Count
    monthly_active_users: Count
    monthly_active_chat_users: Count | None = None
    monthly_active_agent_users: Count | None = None
    daily_active_cli_users: Count | None = None
    daily_active_copilot_app_users: Count | None = None
    daily_active_vscode_agent_users: Count | None = None
    daily_active_copilot_cloud_agent_users: Count | None = None
    weekly_active_copilot_cloud_agent_users: Count | None = None
    monthly_active_copilot_cloud_agent_users: Count | None = None
    daily_active_copilot_code_review_users: Count | None = None
    weekly_active_copilot_code_review_users: Count | None = None
    monthly_active_copilot_code_review_users: Count | None = None
    daily_passive_copilot_code_review_users: Count | None = None
    weekly_passive_copilot_code_review_users: Count | None = None
    monthly_passive_copilot_code_review_users: Count | None = None
    pull_requests: _Object | None = None
    totals_by_ai_adoption_phase: list[_Object] | None = None


AnyRecord = TypeVar("AnyRecord", bound=Record)
_RAW = msgspec.json.Decoder(dict[str, msgspec.Raw])


class RecordReader(Generic[AnyRecord]):
    """Reads records of one type from one report; `unknown` notes the fields that it does not know.

    Such fields stay in the record's text, except those whose values cannot be read.
    """

    def __init__(self, kind: type[AnyRecord], endpoint: str, unknown: UnknownFields) -> None:
        self._decoder = msgspec.json.Decoder(kind)
        self._known = {field.name for field in msgspec.structs.fields(kind)}
        self._endpoint = endpoint
        self._unknown = unknown

    def read(self, where: str, text: bytes | bytearray, days: Window) -> tuple[AnyRecord, str]:
        """The record, and its text without the days of the report; ContractBroken names a missing
        or wrong field.
        """
        with decoding(where):
            record = self._record(text)
            raw = _RAW.decode(text)
        self._refuse_repeated(where, text, raw)
        if record.day not in days:
            raise ContractBroken(f"{where}: day is {record.day}, but {days} was requested")
        for name in REPORT_DAYS:
            raw.pop(name, None)
        if others := raw.keys() - self._known:
            for name in self._judge(
                where, {name: raw[name] for name in sorted(others)}, record.day
            ):
                del raw[name]
        return record, msgspec.json.encode(raw).decode()

    def _record(self, text: bytes | bytearray) -> AnyRecord:
        try:
            return self._decoder.decode(text)
        except UNDECODABLE:
            # Of a bare NaN, the first error has the place alone; this one has the field.
            self._decoder.decode(with_spelled_numbers(bytes(text)))
            raise

    def _judge(self, where: str, others: dict[str, msgspec.Raw], day: date) -> list[str]:
        """An unknown field may say that the record is not what it seems. Returns those that cannot
        be read: whoever reads the stored record could not either.
        """
        values: dict[str, object] = {}
        unreadable = []
        for name, text in others.items():
            try:
                values[name] = msgspec.json.decode(text)
            except UNDECODABLE:
                unreadable.append(name)
        refuse_other_days(where, values, Window(day, day))
        self._unknown.note(Fate.IN_RECORD, values)
        self._unknown.note(Fate.UNREADABLE, unreadable)
        return unreadable

    def _refuse_repeated(
        self, where: str, text: bytes | bytearray, raw: dict[str, msgspec.Raw]
    ) -> None:
        """Keys are checked one by one only if the text has more commas than its values explain, or
        if the values are not known: a number in an unknown field may be out of range.
        """
        try:
            commas = msgspec.json.encode(msgspec.json.decode(text)).count(b",")
        except UNDECODABLE:
            self._refuse_unreadable(where, raw)
            commas = -1
        if commas != text.count(b","):
            refuse_repeated_keys(where, text)

    def _refuse_unreadable(self, where: str, raw: dict[str, msgspec.Raw]) -> None:
        """An unknown field can be left out, but not a known one that contains it."""
        for name in sorted(raw.keys() & self._known):
            with decoding(f"{where}: {name}"):
                msgspec.json.decode(raw[name])
