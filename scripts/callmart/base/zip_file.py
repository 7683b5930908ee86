"""Zip files whose bytes follow from what is packed, and not from the moment or the machine."""

import zipfile

_MADE = (1980, 1, 1, 0, 0, 0)  # the earliest moment that a zip file can say


def entry(name: str) -> zipfile.ZipInfo:
    """What a file in it is called. Only its owner may read it when it is unpacked."""
    made = zipfile.ZipInfo(name, _MADE)
    made.external_attr = 0o600 << 16
    made.create_system = 3  # Unix
    return made
