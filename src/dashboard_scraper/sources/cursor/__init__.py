"""Cursor's Admin API as a source: its usage, costs and seats."""
