"""Environments: a second database of the project with some customers and days, to try a change in before it stands."""
