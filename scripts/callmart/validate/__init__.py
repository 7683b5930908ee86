"""Checks every computed day before it is opened."""
