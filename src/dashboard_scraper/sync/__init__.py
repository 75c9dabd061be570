"""Fetches the days that are needed, and decides which answers to accept."""
