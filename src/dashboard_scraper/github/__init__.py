"""GitHub's own report formats, as files and as its HTTP endpoints return them."""
