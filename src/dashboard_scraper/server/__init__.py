"""GitHub's endpoints, the page and the metrics over HTTP."""
