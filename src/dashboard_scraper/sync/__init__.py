"""Which days to fetch, fetching them, and what becomes of the answers."""
