"""Usage figures of an AI coding assistant, per user and day, fetched, checked and given out."""

__version__ = "0.1.0"
