"""GitHub Copilot's usage-metrics reports as a source."""
