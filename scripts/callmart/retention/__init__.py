"""Removes what is too old, what no contract keeps, tombstones that are over, and marts that the project no longer
declares.
"""
