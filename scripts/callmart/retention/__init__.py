"""Taking away what is too old, what no contract keeps, and what the project has taken out."""
