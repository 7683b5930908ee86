"""The rights of persons: the register of their requests, with its deadlines and letters; every place where a person can
be, and how a person is erased from all of them and looked for.
"""
