"""The command line: a thin layer over functions that can be called without it."""
