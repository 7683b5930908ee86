"""How names and addresses are compared: in the registry file, in the register of requests, and in tombstones."""

import re
from unicodedata import normalize


def is_address(text: str) -> bool:
    """Whether this can be a mail address."""
    return re.fullmatch(r"[^@\s]+@[^@\s]+", text) is not None


def plain(word: str) -> str:
    """A name or an address as it is compared. Case, spaces around it and the way in which accents are composed don't
    count: ẞ is ss, and é is one letter or two. The Turkish İ and ı are letters of their own, in any language.

    Only this decides, never `lower` of a database, which goes by its locale.
    """
    return normalize("NFKC", normalize("NFKC", word).strip().casefold())
