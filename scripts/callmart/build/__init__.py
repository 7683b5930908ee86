"""Computes the days that changed, and makes the monthly partitions that they are stored in."""
