"""The documents in `docs/` are those that the catalogue makes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from dashboard_scraper import mapping_document, store_document
from dashboard_scraper.mapping_document import document
from dashboard_scraper.model.metrics import METRICS

DOCS = Path(__file__).parents[1] / "docs"
BOTH = pytest.mark.parametrize(
    ("module", "name"),
    [(mapping_document, "CSV_TO_JSON_MAPPING.md"), (store_document, "STORE.md")],
)


@BOTH
def test_the_document_is_the_one_that_the_catalogue_makes(module: ModuleType, name: str) -> None:
    assert (DOCS / name).read_text(encoding="utf-8") == module.document(), "run `make docs`"


@BOTH
def test_make_docs_writes_what_the_document_is(module: ModuleType, name: str) -> None:
    made = subprocess.run(
        [sys.executable, "-W", "error", "-m", module.__name__],
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert made.stdout.decode() == module.document()
    assert f"> docs/{name}\n" in (DOCS.parent / "Makefile").read_text()


def test_the_documents_of_the_store_explain_every_metric() -> None:
    text = store_document.document()
    assert [m.name for m in METRICS if f"| `{m.name}` |" not in text] == []
    assert "None" not in text


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
    text = document()
    assert [row for row in rows if f"\n{row}" not in text] == []
