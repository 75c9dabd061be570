"""The store as a Singer tap: what it can send, what was selected, and what was sent before."""
