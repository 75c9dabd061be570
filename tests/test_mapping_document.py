"""The mapping document in `docs/` is the one that the catalogue makes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from dashboard_scraper.mapping_document import document

FILE = Path(__file__).parents[1] / "docs" / "CSV_TO_JSON_MAPPING.md"


def test_the_document_is_the_one_that_the_catalogue_makes() -> None:
    assert FILE.read_text(encoding="utf-8") == document(), "run `make docs`"


def test_make_docs_writes_what_the_document_is() -> None:
    made = subprocess.run(
        [sys.executable, "-W", "error", "-m", "dashboard_scraper.mapping_document"],
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert made.stdout.decode() == document()


def test_the_document_has_the_briefs_rows() -> None:
    rows = [
        "| Completions | `totalCompletionsInTimePeriod` |"
        " `code_completion.code_generation_activity_count` |",
        "| Accepted Completions | `acceptedCompletionsInTimePeriod` |"
        " `code_completion.code_acceptance_activity_count` |",
        "| Chat Messages | `totalChatMessagesInTimePeriod` |"
        " `chat_panel.user_initiated_interaction_count` |",
        "| Agent Messages | `totalAgentChatMessagesInTimePeriod` |"
        " `agent_edit.user_initiated_interaction_count` |",
        "| Completion Lines of Code | `completionLinesOfCode` |"
        " `code_completion.loc_suggested_to_add_sum`, `code_completion.loc_added_sum` |",
        "| CLI Agent Lines of Code | `cliAgentLinesOfCode` | `agent_edit.loc_added_sum` |",
        "| Total Modified Lines of Code | `totalModifiedLinesOfCode` | `loc_added_sum` |",
        "| Tool Uses | `totalToolUsesInTimePeriod` |  |",
    ]
    lines = document().splitlines()
    assert [row for row in rows if row not in lines] == []
