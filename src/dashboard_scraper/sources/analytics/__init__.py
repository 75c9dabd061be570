"""Augment's Analytics API, read with a token."""
