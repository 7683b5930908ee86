"""What PostgreSQL lets nobody close, as the audit's report says it."""

VISIBLE = (
    "The names of all roles. They include the customers' numbers, so a customer can see which numbers are customers. "
    "The roles' settings, memberships and comments are visible as well, but not their passwords. So are the names of "
    "databases: an environment's comment says which customers and days are tried in it.",
    "The names of schemas, tables, columns, functions and policies, the text of functions and views, and whom each "
    "column points to. They are the same for everybody and contain no data.",
    "Totals over all customers: pg_class.reltuples and relpages, and in EXPLAIN ANALYZE the rows removed and the pages "
    "read. They show about how many rows a mart, a month or another table has, but never for a condition that a "
    "customer chooses. If there are only two customers, each can subtract its own rows. If administrator.sql has not "
    "been run, more is visible: counters (how many rows each query of others read), pg_locks (which tables others use "
    "and, under SERIALIZABLE, which rows), sizes and the position of the write-ahead log (how many bytes each "
    "transaction wrote).",
    "How many transactions have changed something, by the number of the next one.",
    "EXPLAIN's estimate for a day, which comes from a sample over all customers: about how many rows a day has. There "
    "is no sample of any other column, and the customer's number is a constant, the reader's own.",
    "Rows of days that are too old are hidden at once, but they are counted in those totals until the next run deletes "
    "them.",
    "pg_stat_activity: who else is connected and since when, but not their queries and not their addresses.",
    "LISTEN and NOTIFY: everybody may send a message on any channel, and hear the messages of others. callmart sends "
    "none, so there are only messages that customers send on purpose.",
    "Reading takes a weak lock on a mart's tables until the transaction ends. The owner waits for it only for seconds, "
    "then ends the session that is in its way and makes its change; the audit log records it. Only an expired month is "
    "emptied at once, and dropped when the reader has finished.",
    "Large objects: everybody sees their numbers, never their contents. If administrator.sql has been run, nobody may "
    "make any.",
    "A login may change its own password and its own defaults, such as read-only and the timeouts. These defaults only "
    "prevent mistakes and protect nothing. `callmart access diff` shows a change, `callmart access apply` undoes it.",
    "A login can use what its sessions are given: memory (work_mem, savepoints, prepared statements), temporary files "
    "up to temp_file_limit each, processor time, and the queue of NOTIFY. docs/security.md says what limits it.",
)
