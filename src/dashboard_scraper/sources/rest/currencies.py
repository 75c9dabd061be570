"""Finds amounts in other currencies than US dollars, which the known fields do not include."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from dashboard_scraper.decoding import UNDECODABLE
from dashboard_scraper.errors import ContractBroken
from dashboard_scraper.model.costs import USD
from dashboard_scraper.sources.rest.shown import shown_name, shown_value
from dashboard_scraper.sources.rest.unknown_fields import Fate, UnknownFields

# ISO 4217's, without USD.
_OTHER = """
    aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bhd bif bmd bnd bob brl bsd btn bwp byn
    bzd cad cdf chf clf clp cny cnh cop crc cup cve czk djf dkk dop dzd egp ern etb eur fjd fkp gbp
    gel ghs gip gmd gnf gtq gyd hkd hnl htg huf idr ils inr iqd irr isk jmd jod jpy kes kgs khr kmf
    kpw krw kwd kyd kzt lak lbp lkr lrd lsl lyd mad mdl mga mkd mmk mnt mop mru mur mvr mwk mxn myr
    mzn nad ngn nio nok npr nzd omr pab pen pgk php pkr pln pyg qar ron rsd rub rwf sar sbd scr sdg
    sek sgd shp sle sos srd ssp stn svc syp szl thb tjs tmt tnd top try ttd twd tzs uah ugx uyu uzs
    ved ves vnd vuv wst xaf xag xau xcd xof xpf yer zar zmw zwg
"""
_CODES = frozenset(_OTHER.split())
# Codes that other names end with, too; they mean a currency if the rest of the name is about money.
_WORDS = frozenset(("all", "ang", "cup", "gel", "mad", "mop", "pen", "sos", "svc", "top", "try"))
_MONEY = ("amount", "billed", "charge", "cost", "fee", "price", "spend")
_CURRENCY = "currenc"  # also in the plural


def refuse_other_currency(where: str, fields: Mapping[str, msgspec.Raw]) -> list[str]:
    """Raise ContractBroken if a field, or one within it, has or names another currency.

    Returns the paths of the fields that name US dollars.
    """
    dollars = []
    for name, raw in fields.items():
        for path, key, value in _within(name, raw):
            if _is_other_amount(key):
                raise ContractBroken(
                    f"{where}: {shown_name(path)} seems to be an amount in another currency than"
                    f" {USD}; none but {USD} can be read"
                )
            if _CURRENCY in key.lower() and value not in (None, ""):
                if not isinstance(value, str) or value.upper() != USD:
                    raise ContractBroken(
                        f"{where}: {shown_name(path)} is {shown_value(value)}; none but"
                        f" {USD} can be read"
                    )
                dollars.append(path)
    return dollars


def note_unknown(
    unknown: UnknownFields, fate: Fate, where: str, fields: Mapping[str, msgspec.Raw]
) -> None:
    """Note unknown fields of an object beside amounts, except those that name US dollars.

    Raises ContractBroken like `refuse_other_currency`.
    """
    dollars = refuse_other_currency(where, fields)
    unknown.note(fate, fields.keys() - {*dollars})


def _within(name: str, raw: msgspec.Raw) -> Iterator[tuple[str, str, Any]]:
    """The path, name and value of a field, and of everything that it contains."""
    try:
        left: list[tuple[str, str, Any]] = [(name, name, msgspec.json.decode(raw))]
    except UNDECODABLE:
        left = [(name, name, None)]  # such as a number out of range, which names no currency
    while left:
        path, key, value = left.pop()
        yield path, key, value
        if isinstance(value, dict):
            left += [(f"{path}.{inner}", inner, each) for inner, each in value.items()]
        elif isinstance(value, list):
            left += [(path, "", each) for each in value]


def _is_other_amount(name: str) -> bool:
    rest, _, code = name.lower().rpartition("_")
    if not rest or code not in _CODES:
        return False
    return code not in _WORDS or any(word in rest for word in _MONEY)
