"""The PostgreSQL server, and all that the database has before there are customers: schema, clock, the lock of a run."""
