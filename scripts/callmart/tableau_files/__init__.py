"""Writes files for Tableau: extracts, data sources and workbooks."""
