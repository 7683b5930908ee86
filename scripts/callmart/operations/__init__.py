"""The nightly run, and the status of each customer."""
