"""The rights of persons: the register of their requests, with its deadlines and letters; every place where a person can
be; and a module per right that plans, does and proves (rights.py).
"""
