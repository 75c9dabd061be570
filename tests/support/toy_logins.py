"""A source whose names without `@` are logins at GitHub."""

from __future__ import annotations

from msgspec.structs import replace

import toy_source
from dashboard_scraper.model.names import NameKind
from dashboard_scraper.sources.products import Product

NAME = "toy_logins"
INFO = replace(
    toy_source.INFO, name=NAME, product=Product(NAME, NAME, NAME, NAME), name_kind=NameKind.LOGIN
)
