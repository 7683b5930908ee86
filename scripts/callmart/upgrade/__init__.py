"""Brings a database that an earlier version made, and marts that were declared otherwise then, up to date."""
