"""GitHub's own report format."""
