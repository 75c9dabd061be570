"""The dashboard, read with the session cookie of a browser."""
