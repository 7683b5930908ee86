"""The server and what stands in it before there is a customer: connections, schema, clock, the lock of a run."""
