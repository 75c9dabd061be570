"""A source whose names without `@` are ids of its own."""

from __future__ import annotations

from msgspec.structs import replace

import toy_source
from dashboard_scraper.model.names import NameKind
from dashboard_scraper.sources.products import Product

NAME = "toy_ids"
INFO = replace(
    toy_source.INFO, name=NAME, product=Product(NAME, NAME, NAME, NAME), name_kind=NameKind.ID
)
