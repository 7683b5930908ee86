"""What nearly every command reads first. Processes that are forked from one that imported this have read it already."""

from callmart.base import settings
from callmart.base.matrix import matrix

matrix()
settings.time_zones()
