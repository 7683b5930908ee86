"""The rights of persons: the register of their requests, with its deadlines, and the letters that answer them."""
