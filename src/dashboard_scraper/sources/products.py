"""The assistants that sources report on, as bills and names of files call them."""

from __future__ import annotations

import msgspec


class Product(msgspec.Struct, frozen=True):
    """An assistant: its `name`, the `vendor` who sends the bill, how names of files begin, and a
    `label` where there is little room.
    """

    name: str
    vendor: str
    prefix: str
    label: str


AUGMENT = Product("Augment Code", "Augment Code", "augment", "Augment")
COPILOT = Product("GitHub Copilot", "GitHub", "github_copilot", "Copilot")
CURSOR = Product("Cursor", "Anysphere", "cursor", "Cursor")
CLAUDE_CODE = Product("Claude Code", "Anthropic", "claude_code", "Claude Code")
