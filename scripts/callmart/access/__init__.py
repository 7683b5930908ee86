"""Roles, logins and rights, and what is done where they differ from what is declared."""
