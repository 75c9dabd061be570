"""Pages of lists, as in GitHub's API: `page`, `per_page`, and links to the other pages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

_AT_MOST = 100

T = TypeVar("T")


class Page(msgspec.Struct, frozen=True):
    """The page that a request asks for."""

    number: int
    size: int

    @classmethod
    def of(cls, request: Request, size: int) -> Page:
        """The page asked for, with this many items by default; 400 for invalid parameters."""
        number = _number(request, "page", 1)
        return cls(number, min(_number(request, "per_page", size), _AT_MOST))

    def of_list(self, items: Sequence[T]) -> Sequence[T]:
        """The items on this page."""
        return items[(self.number - 1) * self.size : self.number * self.size]

    def link(self, response: Response, url: str, count: int) -> Response:
        """Add the links to the other pages of a list of `count` items, if there are any."""
        last = max(1, -(-count // self.size))
        pages = {"prev": self.number - 1, "next": self.number + 1, "first": 1, "last": last}
        links = ", ".join(
            f'<{url}?page={number}&per_page={self.size}>; rel="{name}"'
            for name, number in pages.items()
            if 1 <= number <= last and number != self.number
        )
        if links:
            response.headers["Link"] = links
        return response


def _number(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) > 0):
        raise HTTPException(400, f"The parameter {name} must be a number from 1 on")
    return int(text)
