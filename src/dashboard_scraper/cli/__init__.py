"""The command line: what may be written, and what turns settings and words into work."""
