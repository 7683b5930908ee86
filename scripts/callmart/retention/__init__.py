"""Removes what is too old, what no contract keeps, and marts that the project no longer declares."""
