"""The files of a window of stored days in every format, and their manifest."""
