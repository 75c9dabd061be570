"""`tokens`: add, list and revoke the tokens of `serve`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from dashboard_scraper.cli.arguments import Parser, duration
from dashboard_scraper.cli.options import add_json, settings_of
from dashboard_scraper.errors import UsageError
from dashboard_scraper.server.scopes import Scope

if TYPE_CHECKING:
    import msgspec

    from dashboard_scraper.server.tokens import Token
    from dashboard_scraper.settings.config import Settings

_ADD, _LIST, _REVOKE = "add", "list", "revoke"


def configure(parser: Parser) -> None:
    """What to do, and with which token."""
    parser.add_argument(
        "action",
        nargs="?",
        default=_LIST,
        choices=(_ADD, _LIST, _REVOKE),
        help="what to do (default: list)",
    )
    parser.add_argument(
        "name",
        nargs="?",
        metavar="NAME",
        help="name of the token: the tool that uses it, not a person",
    )
    parser.add_argument(
        "--scope",
        action="append",
        choices=[scope.value for scope in Scope],
        help="with add: what it may read; repeat it for more than one",
    )
    parser.add_argument(
        "--expires",
        type=duration,
        metavar="DURATION",
        help="with add: how long it is valid, as 90d (default: until it is revoked)",
    )
    add_json(parser)


def run(args: argparse.Namespace) -> None:
    """Do it; a running server notices within seconds."""
    if args.action == _LIST:
        _print_tokens(settings_of(args), as_json=args.json)
        return
    if not args.name:
        raise UsageError(f"name the token to {args.action}; `tokens list` shows those there are")
    if args.action == _ADD:
        _add(settings_of(args), args, datetime.now(UTC).replace(microsecond=0))
    else:
        _revoke(settings_of(args), args.name)


def _add(settings: Settings, args: argparse.Namespace, now: datetime) -> None:
    from dashboard_scraper.cli.output import print_lines
    from dashboard_scraper.server.tokens import add_token

    if not args.scope:
        scopes = ", ".join(scope.value for scope in Scope)
        raise UsageError(f"say with --scope what the token may read: {scopes}")
    if args.expires is not None and not args.expires:
        raise UsageError("--expires: such a token would never be valid")
    text = add_token(
        settings.serve_tokens_file,
        args.name,
        [Scope(each) for each in args.scope],
        now,
        now + args.expires if args.expires else None,
        allow_readable=settings.allow_readable_secrets,
    )
    # Only to stdout, never to the log, and only once: the store has only its hash.
    print_lines([text])


def _revoke(settings: Settings, name: str) -> None:
    from dashboard_scraper.cli.output import print_lines
    from dashboard_scraper.server.tokens import revoke_token

    allow = settings.allow_readable_secrets
    revoke_token(settings.serve_tokens_file, name, allow_readable=allow)
    print_lines([f"{name} revoked"])


def _print_tokens(settings: Settings, *, as_json: bool) -> None:
    from dashboard_scraper.cli.output import print_json, print_lines
    from dashboard_scraper.server.token_files import all_tokens

    tokens = all_tokens(
        settings.serve_token_file,
        settings.serve_tokens_file,
        allow_readable=settings.allow_readable_secrets,
    )
    if as_json:
        print_json(_listed(tokens))
        return
    lines = list(_lines(tokens, datetime.now(UTC)))
    print_lines(lines or ["there is no token; `tokens add NAME --scope reports` creates one"])


def _listed(tokens: list[Token]) -> msgspec.Struct:
    """The tokens without their hashes."""
    import msgspec

    rows = [
        {
            "name": each.name,
            "scopes": [scope.value for scope in each.scopes],
            "created": each.created,
            "expires": each.expires,
        }
        for each in tokens
    ]
    return msgspec.defstruct("Tokens", [("tokens", list)])(rows)


def _lines(tokens: list[Token], now: datetime) -> Iterator[str]:
    for each in tokens:
        scopes = ",".join(scope.value for scope in each.scopes)
        created = f"created {each.created:%Y-%m-%d}" if each.created else "not dated"
        yield f"{each.name:<24}{scopes:<24}{created}, {_end_of(each, now)}"


def _end_of(token: Token, now: datetime) -> str:
    if token.expires is None:
        return "valid until it is revoked"
    word = "expired" if token.has_expired(now) else "expires"
    return f"{word} {token.expires:%Y-%m-%d %H:%M} UTC"
