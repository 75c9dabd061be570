"""Amounts and tokens in the answer about costs: exact in every digit, or refused by name.

The JSON is written by hand, since encoders would round the very digits that are tested.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, date, datetime
from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard_scraper.errors import ContractBroken
from dashboard_scraper.model.costs import MAX_TOKENS, CostFigures
from dashboard_scraper.model.dates import Window
from dashboard_scraper.model.money import MAX_DECIMALS, MAX_DIGITS
from dashboard_scraper.sources.analytics.amounts import Amounts
from dashboard_scraper.sources.analytics.cost_answers import WIRE_METRICS, CostReading
from dashboard_scraper.sources.analytics.paths import COST_ANALYTICS
from dashboard_scraper.sources.rest.envelope import Envelope
from dashboard_scraper.sources.rest.unknown_fields import UnknownFields

DAY = date(2025, 3, 5)
WINDOW = Window(DAY, DAY)
BILLED, TOKENS = "billed_amount_usd", "input_tokens"
Log = pytest.LogCaptureFixture
_MOST_WHOLE = MAX_DIGITS - MAX_DECIMALS


def body_of(**metrics: str) -> bytes:
    """An answer with one row, in which these metrics have these JSON texts."""
    texts = dict.fromkeys(WIRE_METRICS, '"0"') | metrics
    fields = ",".join(f'"{name}":{text}' for name, text in texts.items())
    beside = {
        "pagination": {"has_more": False, "next_cursor": ""},
        "metadata": {
            "effective_start_date": f"{DAY}",
            "effective_end_date": f"{DAY}",
            "generated_at": "2025-03-06T03:10:00Z",
            "returned_data_point_count": 1,
        },
    }
    point = f'{{"start_date":"{DAY}","end_date":"{DAY}","cost_metrics":{{{fields}}}}}'
    return f'{{"data_points":[{point}],{json.dumps(beside)[1:]}'.encode()


def figures_in(body: bytes) -> CostFigures:
    envelope = Envelope(COST_ANALYTICS, WINDOW, datetime(2025, 3, 10, tzinfo=UTC))
    reading = CostReading(WINDOW, envelope, Amounts(COST_ANALYTICS), UnknownFields())
    (row,) = reading.read(body).rows
    return row.figures


def billed(text: str) -> Decimal | None:
    return figures_in(body_of(**{BILLED: text})).billed


def refused(field: str, text: str) -> str:
    with pytest.raises(ContractBroken) as caught:
        figures_in(body_of(**{field: text}))
    message = str(caught.value)
    assert f"{COST_ANALYTICS}: data_points[0].cost_metrics.{field}" in message
    return message


digits = st.text("0123456789", min_size=1, max_size=_MOST_WHOLE)
decimals = st.text("0123456789", max_size=MAX_DECIMALS)
exponents = st.none() | st.integers(-30, 30)


@st.composite
def decimal_texts(draw: st.DrawFn) -> str:
    """Decimal numbers in any spelling, also with more digits than can be stored."""
    after, exponent = draw(decimals), draw(exponents)
    point = f".{after}" if after else ""
    ending = "" if exponent is None else f"{draw(st.sampled_from('eE'))}{exponent:+d}"
    return f"{draw(st.sampled_from(['', '-']))}{draw(digits)}{point}{ending}"


def fits(amount: Decimal) -> bool:
    """Whether the store has room for every digit other than 0, before and after the point."""
    text = f"{amount:f}".lstrip("-")
    whole, _, after = text.partition(".")
    return len(whole.lstrip("0")) <= _MOST_WHOLE and len(after.rstrip("0")) <= MAX_DECIMALS


@given(decimal_texts(), st.booleans())
def test_any_decimal_is_exact_or_refused(text: str, as_number: bool) -> None:
    """As a string, and also as a number if JSON can write it so."""
    whole = text.lstrip("-").split(".")[0].lower().split("e")[0]
    as_number = as_number and (whole == "0" or not whole.startswith("0"))
    sent = text if as_number else f'"{text}"'
    with localcontext(prec=200):
        due = Decimal(text)
    if fits(due):
        found = billed(sent)
        assert found is not None
        assert found == due
        assert str(found.as_tuple().exponent).startswith(("0", "-")), "without an exponent"
    else:
        assert "more than" in refused(BILLED, sent)


@pytest.mark.parametrize(
    "text",
    ["0.1", "12345678901234567890.123456789", "-0.000000000000000001", "3.4170", "1e-7", "5E+3"],
)
def test_number_is_read_from_its_text(text: str, caplog: Log) -> None:
    """A binary float would turn 0.1 into 0.1000000000000000055."""
    assert billed(text) == billed(f'"{text}"') == Decimal(text)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert f"{BILLED} comes as a number" in record.getMessage()


def test_a_number_is_reported_once_per_field(caplog: Log) -> None:
    envelope = Envelope(COST_ANALYTICS, WINDOW, datetime(2025, 3, 10, tzinfo=UTC))
    reading = CostReading(WINDOW, envelope, Amounts(COST_ANALYTICS), UnknownFields())
    for _ in range(3):
        reading.read(body_of(**{BILLED: "1.5", "credits_consumed": "2"}))
    assert len(caplog.records) == 2


NO_AMOUNTS = {
    "empty": '""',
    "a word": '"free"',
    "a currency": '"$3.10"',
    "two points": '"1.2.3"',
    "a comma": '"1,5"',
    "a plus": '"+1"',
    "a blank": '" 1"',
    "an underscore": '"1_000"',
    "other digits": '"\\u0661"',
    "NaN": '"NaN"',
    "bare NaN": "NaN",
    "bare Infinity": "-Infinity",
    "infinite": '"Infinity"',
    "true": "true",
    "a list": '["1"]',
    "an object": '{"units":"1","nanos":5}',
    "19 decimals": '"0.1234567890123456789"',
    "21 digits": '"123456789012345678901"',
    "30 digits": "123456789012345678901234567890",
    "100 decimals and more": f'"0.{"1" * 130}"',
    "100 digits and more": "7" * 130,
    "a large exponent": '"1e20"',
    "a huge exponent": '"1e9999"',
    "a huge text": f'"{"9" * 5000}"',
    "a long word, as the token": '"svc_' + "5" * 40 + '"',
}


@pytest.mark.parametrize("name", NO_AMOUNTS)
def test_other_amounts_are_refused(name: str) -> None:
    message = refused(BILLED, NO_AMOUNTS[name])
    assert len(message) < 400
    assert "svc_" not in message
    if name in ("a word", "a comma", "true", "21 digits", "30 digits"):
        assert NO_AMOUNTS[name].strip('"') in message, "the value is named"


@pytest.mark.parametrize(
    ("text", "due"), [("null", None), ('"0"', Decimal(0)), ("-0.0", Decimal(0))]
)
def test_null_is_unknown_and_not_0(text: str, due: Decimal | None) -> None:
    found = billed(text)
    assert found == due
    assert (found is None) == (due is None)


@pytest.mark.parametrize(
    ("text", "due"),
    [
        ("0", 0),
        ('"0"', 0),
        (f"{2**53 + 1}", 2**53 + 1),
        (f'"{MAX_TOKENS}"', MAX_TOKENS),
        ("null", None),
        ('"007"', 7),
    ],
)
def test_tokens_are_read_exactly(text: str, due: int | None) -> None:
    assert figures_in(body_of(**{TOKENS: text})).input_tokens == due


SPELLINGS = """ -1 "-1" 1.5 "1.0" 1e3 9223372036854775808 "" "many" true [1] "\\u0661" NaN """


@pytest.mark.parametrize("text", [*SPELLINGS.split(), f'"{"9" * 5000}"', '" 1"'])
def test_other_tokens_are_refused(text: str) -> None:
    assert "is not a whole number from 0" in refused(TOKENS, text)
