"""GitHub's endpoints, the report and metrics over HTTP."""
