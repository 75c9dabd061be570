"""What every source over HTTP shares: connections, retries, pages, checks of an answer."""
