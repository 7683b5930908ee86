"""The rights of persons: the register of their requests, with its deadlines and letters; every place where a person can
be; a module per right that plans, does and proves (by_right.py); and the package that a person gets.
"""
