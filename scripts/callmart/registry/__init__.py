"""The registry of customers: the file, what it changes, and how that is applied."""
