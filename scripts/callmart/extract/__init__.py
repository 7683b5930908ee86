"""Writes each customer's extracts."""

from callmart.base import without_pandas as without_pandas
