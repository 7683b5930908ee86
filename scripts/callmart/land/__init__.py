"""Turns a source file into rows of raw.event."""

from callmart.base import without_pandas as without_pandas
