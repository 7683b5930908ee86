"""Made-up events with known results."""
