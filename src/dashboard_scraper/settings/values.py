"""Types of settings that several groups share, with the checks of their values."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url


class Group(BaseModel):
    """Settings that belong together, as one of the bases of `Settings`.

    That class alone is validated; to build validators of each group would take longer than that.
    """

    model_config = ConfigDict(defer_build=True)


def lowered(text: object) -> object:
    """Text in lower case and without spaces around it; anything else as it is."""
    return text.strip().lower() if isinstance(text, str) else text


def _names(text: object) -> object:
    """Read a comma-separated list of names."""
    if not isinstance(text, str):
        return text
    return tuple(name.strip().lower() for name in text.split(",") if name.strip())


def _base_url(value: str) -> str:
    try:
        url = parse_url(value)
    except LocationParseError:
        raise ValueError("not a valid URL; write it as https://app.example.com/") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError("write it with https:// and a host, as https://app.example.com/")
    if url.auth or url.query or url.fragment:
        raise ValueError("write it without user, password, query or fragment")
    return value


Names = Annotated[tuple[str, ...], BeforeValidator(_names)]
BaseUrl = Annotated[str, AfterValidator(_base_url)]
Seconds = Annotated[float, Field(allow_inf_nan=False, le=3600)]
