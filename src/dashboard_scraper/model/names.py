"""What a name is that is not an e-mail address: it depends on the source."""

from __future__ import annotations

from enum import Enum


class NameKind(Enum):
    """What a source's names without `@` are."""

    SERVICE_ACCOUNT = "service account"
    LOGIN = "login"  # at GitHub, whatever its capitals
    ID = "id"  # of a person, in that source alone
