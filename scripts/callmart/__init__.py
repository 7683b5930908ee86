"""callmart: from raw call data to one isolated Tableau publication per customer."""

__version__ = "0.2.0"
