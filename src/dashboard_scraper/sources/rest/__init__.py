"""What all sources over HTTP share: connections, retries, pages, checks of an answer."""
