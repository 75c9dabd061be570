"""Claude Code's usage report of the Claude Console, read with an Admin key."""
