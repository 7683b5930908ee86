"""The audit: evidence that nobody sees data that is not theirs (audit.py). A module per subject makes its checks."""
