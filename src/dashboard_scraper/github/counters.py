"""The counters that both Copilot formats have, the brief's and GitHub's own."""

from __future__ import annotations

from enum import Enum


class Counter(Enum):
    """The seven counters at the top level of a record and in each feature row, in order."""

    INTERACTIONS = "user_initiated_interaction_count"
    GENERATIONS = "code_generation_activity_count"
    ACCEPTANCES = "code_acceptance_activity_count"
    SUGGESTED = "loc_suggested_to_add_sum"
    SUGGESTED_DELETE = "loc_suggested_to_delete_sum"
    ADDED = "loc_added_sum"
    DELETED = "loc_deleted_sum"
