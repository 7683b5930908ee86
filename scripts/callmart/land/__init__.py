"""Turns a source file into rows of raw.event."""
