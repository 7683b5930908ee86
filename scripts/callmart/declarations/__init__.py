"""Reads what the project declares: marts, metrics, captions, reports, and who may read what."""
