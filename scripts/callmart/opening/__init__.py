"""Moves the computed days that passed their checks into the marts."""
