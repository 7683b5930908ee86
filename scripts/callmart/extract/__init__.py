"""Each customer's own files."""
