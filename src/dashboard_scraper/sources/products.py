"""The assistants that sources report on, with their names in bills and file names."""

from __future__ import annotations

import msgspec


class Product(msgspec.Struct, frozen=True):
    """An assistant: its `name`, the `vendor` who sends the bill, the beginning of file names, and a
    `label` for places with little room.
    """

    name: str
    vendor: str
    prefix: str
    label: str


AUGMENT = Product("Augment Code", "Augment Code", "augment", "Augment")
COPILOT = Product("GitHub Copilot", "GitHub", "github_copilot", "Copilot")
CURSOR = Product("Cursor", "Anysphere", "cursor", "Cursor")
CLAUDE_CODE = Product("Claude Code", "Anthropic", "claude_code", "Claude Code")
