"""Lists the contacts behind a number of a queue, and says why another system has others."""
