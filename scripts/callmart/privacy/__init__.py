"""Rights of persons: every place where a person can be, and how a person is erased from all of them and looked for."""
