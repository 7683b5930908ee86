"""The checks that every computed day has to pass."""
