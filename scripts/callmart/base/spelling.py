"""How names and addresses are compared: in the registry file, in the register of requests, and in tombstones."""

from unicodedata import normalize


def plain(word: str) -> str:
    """A name or an address as it is compared. Case, spaces around it and the way in which accents are composed don't
    count: ẞ is ss, and é is one letter or two. The Turkish İ and ı are letters of their own, in any language.

    Only this decides, never `lower` of a database, which goes by its locale.
    """
    return normalize("NFKC", normalize("NFKC", word).strip().casefold())
