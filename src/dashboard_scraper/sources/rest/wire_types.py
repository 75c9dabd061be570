"""Types of values in answers, within the bounds of what can be stored."""

from __future__ import annotations

from typing import Annotated

import msgspec

from dashboard_scraper.model.metrics import MAX_COUNT

Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_COUNT)]
Number = Annotated[float, msgspec.Meta(ge=0, le=MAX_COUNT)]
# PostgreSQL cannot store a NUL in a text.
Text = Annotated[str, msgspec.Meta(max_length=200, pattern=r"\A[^\x00]*\Z")]
Name = Annotated[Text, msgspec.Meta(min_length=1)]
