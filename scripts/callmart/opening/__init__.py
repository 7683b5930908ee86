"""Moving the computed days that passed to where they are read."""
