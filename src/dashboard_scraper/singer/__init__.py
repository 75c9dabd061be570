"""The store as a Singer tap: what it can send, what was selected, and what has been sent before."""
