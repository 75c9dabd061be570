"""A plain scraper for comparison: it works as a first script of this kind usually does.

For each of the last 28 days it sends three requests, one after another, writes the day's CSV with
`csv`, reads it again and writes it as indented JSON in the format of Copilot's metrics. It stores
nothing, so that every night costs the same. It imports nothing from the package.

    SESSION=COOKIE python bench/one_by_one.py URL FOLDER
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

DAYS = 28
USERS = "user-feature-stats"
TENANT = ("tenant-feature-stats", "tenant-monthly-active-users")
COLUMNS = {
    "userEmail": "User",
    "firstSeen": "First Seen",
    "lastSeen": "Last Seen",
    "totalActiveDays": "Active Days",
    "totalCompletionsInTimePeriod": "Completions",
    "acceptedCompletionsInTimePeriod": "Accepted Completions",
    "acceptanceRatePercentage": "Accept Rate",
    "totalChatMessagesInTimePeriod": "Chat Messages",
    "totalAgentChatMessagesInTimePeriod": "Agent Messages",
    "totalRemoteAgentMessagesInTimePeriod": "Remote Agent Messages",
    "totalInteractiveCliAgentMessagesInTimePeriod": "Interactive CLI Agent Messages",
    "totalNoninteractiveCliAgentMessagesInTimePeriod": "Non-Interactive CLI Agent Messages",
    "totalToolUsesInTimePeriod": "Tool Uses",
    "totalModifiedLinesOfCode": "Total Modified Lines of Code",
    "completionLinesOfCode": "Completion Lines of Code",
    "instructionLinesOfCode": "Instruction Lines of Code",
    "agentLinesOfCode": "Agent Lines of Code",
    "remoteAgentLinesOfCode": "Remote Agent Lines of Code",
    "cliAgentLinesOfCode": "CLI Agent Lines of Code",
}
AGENT_MESSAGES = [name for name in COLUMNS.values() if name.endswith("Agent Messages")]
AGENT_LINES = [name for name in COLUMNS.values() if name.endswith("Agent Lines of Code")]


def session_for(cookie: str) -> requests.Session:
    session = requests.Session()
    session.headers["Cookie"] = f"_session={cookie}"
    retry = Retry(3, backoff_factor=0.5, status_forcelist=(429, 500, 502, 503, 504))
    session.mount("http://", HTTPAdapter(max_retries=retry))
    return session


def fetched(session: requests.Session, base: str, endpoint: str, day: date) -> dict[str, Any]:
    text = json.dumps({"year": day.year, "month": day.month, "day": day.day}, separators=(",", ":"))
    query = {"startDate": text, "endDate": text}
    answer = session.get(f"{base}/api/{endpoint}", params=query, timeout=30)
    answer.raise_for_status()
    found: dict[str, Any] = answer.json()
    return found


def write_csv(path: Path, records: list[dict[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(COLUMNS.values()))
        writer.writeheader()
        for record in records:
            row = {title: record.get(field) for field, title in COLUMNS.items()}
            row |= {title: (row[title] or "")[:10] for title in ("First Seen", "Last Seen")}
            rate = row["Accept Rate"]
            writer.writerow(row | {"Accept Rate": "" if rate is None else f"{rate}%"})


def copilot_record(row: dict[str, str], first: date, last: date, day: date) -> dict[str, Any]:
    def count(*titles: str) -> int:
        return sum(int(row[title] or 0) for title in titles)

    chats, agents = count("Chat Messages"), count(*AGENT_MESSAGES)
    made, accepted = count("Completions"), count("Accepted Completions")
    by_completion = {
        "feature": "code_completion",
        "code_generation_activity_count": made,
        "code_acceptance_activity_count": accepted,
        "loc_added_sum": count("Completion Lines of Code"),
    }
    by_chat = {"feature": "chat_panel", "user_initiated_interaction_count": chats}
    by_agent = {
        "feature": "agent_edit",
        "user_initiated_interaction_count": agents,
        "loc_added_sum": count(*AGENT_LINES),
    }
    return {
        "report_start_day": f"{first}",
        "report_end_day": f"{last}",
        "day": f"{day}",
        "enterprise_id": "283613",
        "user_id": int(hashlib.md5(row["User"].encode()).hexdigest()[:8], 16),
        "user_login": row["User"],
        "user_initiated_interaction_count": chats + agents,
        "code_generation_activity_count": made,
        "code_acceptance_activity_count": accepted,
        "totals_by_feature": [by_completion, by_chat, by_agent],
        "used_agent": agents > 0,
        "used_chat": chats > 0,
        "loc_added_sum": count("Total Modified Lines of Code"),
    }


def main(base: str, folder: Path) -> None:
    session = session_for(os.environ["SESSION"])
    today = datetime.now(UTC).date()
    days = [today - timedelta(back) for back in range(DAYS, 0, -1)]
    folder.mkdir(parents=True, exist_ok=True)
    for day in days:
        records = fetched(session, base, USERS, day)["userFeatureStats"]
        tenant = [fetched(session, base, endpoint, day) for endpoint in TENANT]
        print(f"{day}: {len(records)} users, {tenant}")
        table = folder / f"augment_metrics_{day}.csv"
        write_csv(table, records)
        with table.open(newline="", encoding="utf-8") as file:
            rows = [copilot_record(row, days[0], days[-1], day) for row in csv.DictReader(file)]
        with (folder / f"copilot_metrics_{day}.json").open("w", encoding="utf-8") as file:
            json.dump(rows, file, indent=2)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
