"""The package that a person gets: the own rows, packed, encrypted and kept until the request is closed."""
