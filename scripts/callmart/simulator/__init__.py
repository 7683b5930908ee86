"""Makes up events whose results in the marts are known."""
