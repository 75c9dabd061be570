"""A lake: stored days as Apache Iceberg tables, written by exports and readable as a store.

Each table is partitioned by source and month. The rows of a day and its row in `daily_totals` have
the same `content`, and the latter is committed last. If the `content` of a day differs between
tables, the day is between two commits; so no reader has to guess which rows belong together. The
same holds for costs, which have their own tables.
"""
