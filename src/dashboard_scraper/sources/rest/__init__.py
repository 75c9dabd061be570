"""What every source that is read over HTTP has in common."""
