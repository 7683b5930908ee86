"""Computing the days that changed, and the months that they are stored in."""
