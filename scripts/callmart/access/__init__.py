"""Roles, logins and rights, and finding and correcting drift."""
