"""From a file of the source to rows of raw.event."""
