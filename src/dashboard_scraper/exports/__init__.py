"""Files of a window of stored days, in every format, and the manifest."""
