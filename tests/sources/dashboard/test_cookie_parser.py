"""What a person may paste: every form gives the session, anything else a reason without it."""

from __future__ import annotations

import json
import re
import traceback
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

import pytest
import requests
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dashboard_scraper.errors import UsageError
from dashboard_scraper.sources.dashboard.cookie_auth import (
    SESSION_COOKIE,
    CookieSession,
)
from dashboard_scraper.sources.dashboard.cookie_paste import parse_paste
from dashboard_scraper.sources.dashboard.session_store import FileStore
from saved_cookies import save_cookies

HOST = "app.example.com"
ORIGIN = f"https://{HOST}:443"
URL = f"https://{HOST}/api/user-feature-stats"
ENCODED = "c2Vzc2lvbg%3D%3D.7%2F%2B0123abcd%3D"
DECODED = "c2Vzc2lvbg==.7/+0123abcd="
SECRET = "SECRETc2Vzc2lvbg"

# RFC 6265: cookie-octet, and a header of pairs whose names are tokens.
OCTETS = "".join(chr(c) for c in range(0x21, 0x7F) if chr(c) not in '",;\\')
_PAIR = rf"[!#$%&'*+\-.^_`|~0-9A-Za-z]+=[{re.escape(OCTETS)}]*"
LEGAL_HEADER = re.compile(rf"{_PAIR}(; {_PAIR})*")

Form = Callable[[str], str]


def bash(text: str) -> str:
    """Quoted as browsers do for a POSIX shell: `$'...'` if there is a quote or an `!`."""
    if not re.search(r"['!\x00-\x1f]", text):
        return f"'{text}'"
    text = text.replace("\\", "\\\\").replace("'", "\\'")
    escaped = re.sub(r"[!\x00-\x1f]", lambda match: f"\\u{ord(match.group()):04x}", text)
    return f"$'{escaped}'"


def cmd(text: str) -> str:
    """Quoted as browsers do for cmd.exe: with carets before its special characters."""
    text = text.replace("\\", "\\\\").replace('"', '\\"')
    text = re.sub(r"[^a-zA-Z0-9\s_\-:=+~'/.,?;()*`]", r"^\g<0>", text)
    return f'^"{re.sub(r"%(?=[a-zA-Z0-9_])", "%^", text)}^"'


def old_cmd(text: str) -> str:
    """As older browsers did for cmd.exe: double quotes, with each `%` outside of them."""
    return '"' + text.replace('"', '""').replace("%", '"%"') + '"'


def curl(
    *cookie: str, quote: Form = bash, line_end: str = " \\\n", url: str = URL, last: bool = False
) -> str:
    """Options of a browser's "Copy as cURL", the cookie's among them or as the last."""
    before = [f"-H {quote('accept: application/json')}", f"-H {quote('x-price: from 5$')}"]
    after = [] if last else [f"-H {quote('user-agent: Mozilla/5.0')}", "--compressed"]
    option = f"{cookie[0]} {quote(cookie[1])}"
    return f"{line_end}  ".join([f"curl {quote(url)}", *before, option, *after])


def extension(*cookies: tuple[str, str, str]) -> list[dict[str, object]]:
    """Domain, name and value of each, as browser extensions export them."""
    return [
        {"domain": domain, "hostOnly": True, "name": name, "path": "/", "value": value, "id": 1}
        for domain, name, value in cookies
    ]


def cookies_txt(domain: str, name: str, value: str) -> str:
    return f"{domain}\tTRUE\t/\tTRUE\t1999999999\t{name}\t{value}"


def table_row(name: str, value: str, domain: str = HOST) -> str:
    """As Chrome copies it: name, value, domain, path, end, size, and marks."""
    return f"{name}\t{value}\t{domain}\t/\tSession\t120\t\u2713\t\u2713\tLax\t\t\tMedium"


def safari_row(name: str, value: str) -> str:
    return f"{name}\t{value}\t{HOST}\t/\tSession\t120 B\t\u2713\t\u2713\tLax"


def side_bar(value: str, domain: str = HOST) -> str:
    """As Firefox copies all of it."""
    return f'_session:"{value}"\nCreated:"Tue, 24 Nov 2026"\nDomain:"{domain}"\nHttpOnly:true\n'


def powershell(*cookies: tuple[str, str, str]) -> str:
    """Domain, name and value of each, as Chrome and Edge copy a request for PowerShell."""

    def quoted(text: str) -> str:
        return '"' + re.sub(r'([`"$])', r"`\1", text) + '"'

    lines = ["$session = New-Object Microsoft.PowerShell.Commands.WebRequestSession"]
    lines += [
        "$session.Cookies.Add((New-Object System.Net.Cookie("
        f'{quoted(name)}, {quoted(value)}, "/", {quoted(domain)})))'
        for domain, name, value in cookies
    ]
    lines.append(f'Invoke-WebRequest -UseBasicParsing -Uri "{URL}" `\n-WebSession $session')
    return "\n".join(lines)


def fetch(cookie: str | None, url: str = URL) -> str:
    """As Chrome copies a request as fetch for Node.js; without cookies, for browsers."""
    headers = {"accept": "*/*"} | ({"cookie": cookie} if cookie else {})
    options = {"headers": headers, "body": None, "method": "GET"}
    return f"fetch({json.dumps(url)}, {json.dumps(options, indent=2)});"


def har_request(*cookies: tuple[str, str], url: str = URL) -> dict[str, object]:
    header = "; ".join(f"{name}={value}" for name, value in cookies)
    return {
        "request": {
            "method": "GET",
            "url": url,
            "headers": [{"name": "accept", "value": "*/*"}, {"name": "cookie", "value": header}],
            "cookies": [{"name": name, "value": value} for name, value in cookies],
        },
        "response": {"status": 200},
    }


def har(*entries: dict[str, object]) -> str:
    return json.dumps({"log": {"version": "1.2", "entries": list(entries)}})


ELSEWHERE = ("app.example.org", SESSION_COOKIE, "another-site")

FORMS: dict[str, Form] = {
    "name and value": lambda v: f"_session={v}",
    "blanks around it": lambda v: f"\ufeff\n  _session={v} \r\n",
    "quotes around the value": lambda v: f'_session="{v}"',
    "quotes around name and value": lambda v: f'"_session={v}"',
    "quotes around a header": lambda v: f'"Cookie: theme=dark; _session={v}"',
    "quotes around two values": lambda v: f'theme="dark"; _session="{v}"',
    "blanks around the sign": lambda v: f"_session = {v}",
    "the same twice": lambda v: f"_session={v}; _session={v}",
    "several without a header": lambda v: f"theme=dark; _session={v}; lang=en",
    "Cookie header": lambda v: f"Cookie: theme=dark; _session={v}; lang=en",
    "cookie header in lower case": lambda v: f"cookie:_session={v};",
    "Set-Cookie": lambda v: f"Set-Cookie: _session={v}; Path=/; HttpOnly; SameSite=Lax",
    "JSON of names": lambda v: json.dumps({"theme": "dark", "_session": v}, indent=2),
    "the saved file": lambda v: json.dumps({"cookies": {"_session": v}, "origin": ORIGIN}),
    "extension list": lambda v: json.dumps(
        extension(ELSEWHERE, (HOST, "_session", v), (HOST, "theme", "dark"))
    ),
    "list of a parent domain": lambda v: json.dumps(extension((".Example.COM", "_session", v))),
    "list without domains": lambda v: json.dumps([{"name": "_session", "value": v}]),
    "list below cookies": lambda v: json.dumps({"cookies": extension((HOST, "_session", v))}),
    "line of cookies.txt": lambda v: cookies_txt(HOST, "_session", v),
    "whole cookies.txt": lambda v: "\r\n".join(
        [
            "# Netscape HTTP Cookie File",
            cookies_txt(*ELSEWHERE),
            cookies_txt(".example.com", "theme", "dark"),
            "",
            f"#HttpOnly_{cookies_txt(HOST, '_session', v)}",
            "",
        ]
    ),
    "cURL, bash, -H": lambda v: curl("-H", f"cookie: theme=dark; _session={v}"),
    "cURL, bash, -H Cookie": lambda v: curl("-H", f"Cookie: _session={v}"),
    "cURL, bash, --header": lambda v: curl("--header", f"Cookie: _session={v}"),
    "cURL, bash, -b": lambda v: curl("-b", f"theme=dark; _session={v}"),
    "cURL, bash, -b last": lambda v: curl("-b", f"_session={v}", last=True),
    "cURL, bash, --cookie": lambda v: curl("--cookie", f"_session={v}"),
    "cURL, bash, in one line": lambda v: curl("-b", f"_session={v}", line_end=""),
    "cURL, bash, $'...'": lambda v: curl("-b", f"greeting=hi!; _session={v}"),
    "cURL, cmd.exe": lambda v: curl("-b", f"_session={v}", quote=cmd, line_end=" ^\r\n"),
    "cURL, cmd.exe, -H": lambda v: curl(
        "-H", f"cookie: theme=dark; _session={v}", quote=cmd, line_end=" ^\n"
    ),
    "cURL, cmd.exe of older browsers": lambda v: curl(
        "-H", f"cookie: _session={v}", quote=old_cmd, line_end=" ^\r\n"
    ),
}
FORMS |= {
    "a row of Chrome's table": lambda v: table_row("_session", v) + "\n",
    "rows of a table": lambda v: "\n".join(
        [
            "Name\tValue\tDomain\tPath\tExpires / Max-Age",
            table_row("_session", "another-site", "app.example.org"),
            table_row("theme", "dark", ".example.com"),
            table_row("_session", v),
        ]
    ),
    "a row of Safari's table": lambda v: safari_row("_session", v),
    "two cells of a table": lambda v: f"_session\t{v}",
    "Firefox' side bar": lambda v: f'_session:"{v}"',
    "all of Firefox' side bar": side_bar,
    "a line of JSON": lambda v: f'"_session": "{v}",',
    "lines of JSON": lambda v: f'  "theme": "dark",\n  "_session": "{v}"\n',
    "PowerShell": lambda v: powershell(
        ELSEWHERE, (HOST, "theme", "dark"), (".example.com", "_session", v)
    ),
    "fetch": lambda v: fetch(f"theme=dark; _session={v}"),
    "several fetches": lambda v: "\n".join(
        [fetch("_session=another-site", "https://app.example.org/"), fetch(f"_session={v}")]
    ),
    "HAR": lambda v: har(
        har_request(("_session", "another-site"), url="https://app.example.org/"),
        har_request(("theme", "dark"), ("_session", v)),
    ),
    "an entry of a HAR": lambda v: json.dumps(har_request(("_session", v))),
    "a request of a HAR": lambda v: json.dumps(har_request(("_session", v))["request"]),
    "headers of a HAR": lambda v: json.dumps([{"name": "Cookie", "value": f"_session={v}"}]),
    "cURL, PowerShell": lambda v: f'curl.exe "{URL}" `\n  -H "Cookie: _session={v}"',
}
ALL_FORMS: dict[str, Form] = {
    "bare": lambda v: v,
    "bare in quotes": lambda v: f'"{v}"',
    "apostrophes around name and value": lambda v: f"'_session={v}'",
    "a name, a colon": lambda v: f"_session: {v}",
    "a name in quotes, a colon": lambda v: f"'_session':'{v}',",
    **FORMS,
}


@pytest.mark.parametrize("value", [ENCODED, DECODED], ids=["encoded", "decoded"])
@pytest.mark.parametrize("form", ALL_FORMS)
def test_every_form_gives_the_session(form: str, value: str) -> None:
    assert parse_paste(ALL_FORMS[form](value), HOST)[SESSION_COOKIE] == value


@pytest.mark.parametrize(
    "form",
    [
        "several without a header",
        "Cookie header",
        "JSON of names",
        "extension list",
        "whole cookies.txt",
        "cURL, bash, -b",
        "cURL, cmd.exe, -H",
        "rows of a table",
        "PowerShell",
        "fetch",
        "HAR",
    ],
)
def test_cookies_of_other_sites_are_dropped(form: str) -> None:
    cookies = parse_paste(FORMS[form](ENCODED), HOST)
    assert cookies.pop("lang", "en") == "en"
    assert cookies == {"theme": "dark", SESSION_COOKIE: ENCODED}


def test_set_cookie_attributes_are_not_cookies() -> None:
    assert parse_paste(FORMS["Set-Cookie"](ENCODED), HOST) == {SESSION_COOKIE: ENCODED}


@pytest.mark.parametrize("value", ["YQ==", "YWI=", "YQ==.", "YQ==--0a1b", "a-b_c.d~e", "%7B%7D"])
def test_padding_in_a_bare_value_is_part_of_it(value: str) -> None:
    assert parse_paste(value, HOST) == {SESSION_COOKIE: value}


def test_separator_after_a_bare_value_is_removed() -> None:
    assert parse_paste(f"{ENCODED};", HOST) == {SESSION_COOKIE: ENCODED}


TWO = (HOST, "_session", f"{SECRET}1"), (HOST, "_session", f"{SECRET}2")
NOTHING, CONTROL, NONE, DIFFERENT, NO_JSON, CUT = (
    "nothing was pasted",
    "control characters",
    f"there is no _session cookie of {HOST} in it",
    "two different _session cookies",
    "looks like JSON, but is not valid JSON",
    "cut or malformed",
)
REFUSED = {
    "empty": ("", NOTHING),
    "only blanks": (" \r\n\t ", NOTHING),
    "only a byte order mark": ("\ufeff", NOTHING),
    "a bell": (f"_session={SECRET}\x07x", CONTROL),
    "an escape": (f"_session=\x1b[200~{SECRET}", CONTROL),
    "a delete": (f"_session={SECRET}\x7fx", CONTROL),
    "two lines": (f"_session={SECRET}\nx", CONTROL),
    "two bare lines": (f"{SECRET}\r\nx", CONTROL),
    "a tab in a bare value": (f"{SECRET}\tx", CONTROL),
    "a line break in JSON": (json.dumps({"_session": f"{SECRET}\nx"}), CONTROL),
    "a line break in a cookie beside it": (
        json.dumps({"_session": "x", "theme": f"{SECRET}\n"}),
        CONTROL,
    ),
    "a line break in $'...'": (curl("-b", f"_session={SECRET}\nx"), CONTROL),
    "half a character in $'...'": (rf"curl {URL} -b $'_session={SECRET}\ud800'", "character"),
    "a name that none has": (json.dumps({"_session": "x", f"a {SECRET}": "y"}), "cookie's name"),
    "no value": ("_session=", NONE),
    "an empty value in quotes": ('_session=""', NONE),
    "another cookie": (f"theme={SECRET}", NONE),
    "another name that ends so": (f"my_session={SECRET}", NONE),
    "another spelling": (f"_SESSION={SECRET}", NONE),
    "several others": (f"theme=dark; token={SECRET}", NONE),
    "a header without pairs": (f"Cookie: {SECRET}", NONE),
    "a header of others": (f"Cookie: theme={SECRET}", NONE),
    "an empty header": ("Cookie:", NONE),
    "Set-Cookie of another": (f"Set-Cookie: theme={SECRET}; _session=x", NONE),
    "a sentence": (f"my cookie is {SECRET}", NONE),
    "an address": (f"https://{HOST}/?token={SECRET}", NONE),
    "JSON of others": (json.dumps({"theme": SECRET}), NONE),
    "JSON of another type": (json.dumps({"_session": [SECRET]}), NONE),
    "an empty JSON list": ("[]", NONE),
    "a JSON list of no cookies": (json.dumps([None, 1, SECRET, [SECRET], {"name": 3}]), NONE),
    "a list of another site": (json.dumps(extension(("example.org", "_session", SECRET))), NONE),
    "a list of a site that ends alike": (
        json.dumps(extension(("p.example.com", "_session", SECRET))),
        NONE,
    ),
    "cookies.txt of another site": (cookies_txt("example.org", "_session", SECRET), NONE),
    "cookies.txt with a cell too many": (f"{cookies_txt(HOST, '_session', SECRET)}\tx", NONE),
    "a comment in cookies.txt": (f"# {cookies_txt(HOST, '_session', SECRET)}", NONE),
    "two in a header": (f"Cookie: _session={SECRET}1; _session={SECRET}2", DIFFERENT),
    "two in a list": (json.dumps(extension(*TWO)), DIFFERENT),
    "two in cookies.txt": ("\n".join(cookies_txt(*cookie) for cookie in TWO), DIFFERENT),
    "JSON that is cut": (f'{{"_session": "{SECRET}', NO_JSON),
    "JSON with something after it": (f'{{"_session": "{SECRET}"}} {SECRET}', NO_JSON),
    "a list that is none": (f"[{SECRET}]", NO_JSON),
    "JSON too deep to be cookies": ("[" * 100_000, NO_JSON),
    "cURL cut in a quote": (curl("-b", f"_session={SECRET}", last=True)[:-1], CUT),
    "cURL cut at a line's end": (f"curl '{URL}' -b '_session={SECRET}' \\", CUT),
    "cURL for cmd.exe, cut": (curl("-b", f"_session={SECRET}", quote=cmd, last=True)[:-2], CUT),
    "cURL without cookies": (curl("-H", f"authorization: {SECRET}"), NONE),
    "cURL with a cookie file": (curl("-b", f"{SECRET}.txt"), NONE),
    "a row of another site": (table_row("_session", SECRET, "example.org"), NONE),
    "a row of another cookie": (table_row("theme", SECRET), NONE),
    "two rows": (
        f"{table_row('_session', SECRET)}\n{table_row('_session', SECRET + '2')}",
        DIFFERENT,
    ),
    "a row with blanks": (f"_session {SECRET} {HOST} / Session", "row of a table"),
    "a side bar of another site": (side_bar(SECRET, "example.org"), NONE),
    "a side bar's other cookie": (f'theme:"{SECRET}"', NONE),
    "a side bar that is cut": (f'_session:"{SECRET}', "unknown form"),
    "a value with a name's end": (f'session"{SECRET}', "quotes in it"),
    "an object after the name": (f'_session: {{"value": "{SECRET}"}}', "unknown form"),
    "PowerShell of another site": (powershell(("example.org", "_session", SECRET)), NONE),
    "PowerShell without cookies": (powershell(), NONE),
    "PowerShell that computes": (
        powershell((HOST, "_session", SECRET)).replace(SECRET, f"{SECRET}$([char]0x41)"),
        "unknown",
    ),
    "fetch for browsers": (fetch(None), "Node.js"),
    "fetch of another site": (fetch(f"_session={SECRET}", "https://app.example.org/"), NONE),
    "fetch with a bad escape": (fetch(f"_session={SECRET}").replace(SECRET, SECRET + "\\x"), CUT),
    "HAR without cookies": (har(har_request()), NONE),
    "HAR of another site": (
        har(har_request(("_session", SECRET), url="https://app.example.org/")),
        NONE,
    ),
    "two in a HAR": (
        har(har_request(("_session", SECRET)), har_request(("_session", f"{SECRET}2"))),
        DIFFERENT,
    ),
    "cURL of another site": (
        curl("-b", f"_session={SECRET}", url="https://app.example.org/"),
        NONE,
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refusal_never_repeats_the_paste(case: str) -> None:
    text, reason = REFUSED[case]
    with pytest.raises(UsageError) as caught:
        parse_paste(text, HOST)
    assert reason in str(caught.value)
    # This is what a log at DEBUG would show, including the causes of the error.
    assert SECRET not in "".join(traceback.format_exception(caught.value))


FRAGMENTS = st.sampled_from(
    [
        *("_session", "=", ";", ":", " ", "Cookie: ", "Set-Cookie:", "curl ", "curl.exe ", "-H "),
        *("-b ", "'", '"', "$'", "\\", "\\u", "\\ud800", "\\x", "^", '^"', "%zz", "http://["),
        *("{", "}", "[", "]", ",", '{"_session":', '{"cookies":', '"name":"_session"', '"value":'),
        *("null", "1e999", "#HttpOnly_", "\t", "\n", "\x00", "\x7f", "\u200b", "\ufeff"),
        cookies_txt(HOST, "_session", ""),
        *("_session:", "_session\t", 'fetch("', '"cookie":"', '"request":{"url":"', '"headers":'),
        *("System.Net.Cookie(", "Invoke-WebRequest", "`", 'Domain:"', HOST, URL),
    ]
)
PASTES = st.one_of(st.text(), st.lists(FRAGMENTS | st.text(max_size=5), max_size=30).map("".join))


@pytest.fixture(scope="module")
def cookie_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("secrets") / "cookies.json"


def sent(cookies: dict[str, str], cookie_file: Path) -> str:
    """The Cookie header of a request, after the cookies were saved and read back."""
    save_cookies(cookie_file, cookies, ORIGIN)
    request = requests.Request(
        "GET", URL, auth=CookieSession(FileStore(cookie_file), ORIGIN)
    ).prepare()
    return str(request.headers["Cookie"])


@given(text=PASTES)
@example(text='{"a":' * 5000)
@example(text=r"curl x -b $'_session=\ud800'")
@settings(deadline=None, max_examples=120)
@pytest.mark.slow
def test_any_text_gives_cookies_or_a_usage_error(text: str, cookie_file: Path) -> None:
    try:
        cookies = parse_paste(text, HOST)
    except UsageError:
        return
    assert LEGAL_HEADER.fullmatch(sent(cookies, cookie_file))


# A value in apostrophes looks as if it were quoted for a shell, so they are removed.
@given(value=st.text(alphabet=OCTETS, min_size=1).filter(lambda v: v[0] + v[-1] != "''"))
@example(value="0123$")
@example(value="$''!^%41")
@settings(deadline=None, max_examples=60)
@pytest.mark.slow
def test_any_legal_session_survives_every_form(value: str, cookie_file: Path) -> None:
    for name, form in FORMS.items():
        cookies = parse_paste(form(value), HOST)
        assert cookies[SESSION_COOKIE] == value, name
    assert f"_session={value}" in sent(cookies, cookie_file).split("; ")


@given(value=st.from_regex(r"[A-Za-z0-9+/_.%~-]{1,40}={0,2}", fullmatch=True))
@settings(deadline=None, max_examples=60)
@pytest.mark.slow
def test_any_encoded_value_is_read_bare(value: str) -> None:
    assert parse_paste(value, HOST) == {SESSION_COOKIE: value}


@given(value=st.text(st.characters(min_codepoint=0x20, codec="utf-8"), min_size=1).map(str.strip))
@settings(deadline=None, max_examples=60)
@pytest.mark.slow
def test_decoded_value_is_encoded_for_the_header(value: str, cookie_file: Path) -> None:
    header = sent({SESSION_COOKIE: value}, cookie_file)
    assert LEGAL_HEADER.fullmatch(header)
    encoded = header.removeprefix("_session=")
    if "%" not in value:
        assert unquote(encoded) == value
