"""Writes each customer's extracts."""
