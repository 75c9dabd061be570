"""One process that runs the nightly job on a schedule, and keeps a session alive in between."""
