"""Telephone numbers: every source and every request writes a number the same way, by these macros of DuckDB.

is_withheld(number)         true for the words that telephone systems write instead of a withheld number
telephone_number(number)    the number in E.164, or a short number unchanged; null if the text is not a number
looks_like_number(name)     true for the name of a queue or line that may be stored as its key only
number_in_name(name)        what the key of such a name is made of
is_dialled(exten)           true if the agent dialled an outside number, not an extension
"""

from collections.abc import Iterable

from callmart.base import duck, sql_file
from callmart.base.keys import keyed

SQL = sql_file.statements(__file__)


def numbers_in_names(names: Iterable[str]) -> dict[str, str]:
    """The names of queues and lines that look like telephone numbers, each with its number."""
    likely = [name for name in names if sum(map(str.isdigit, name)) > 6 or len(name) == 32]
    if not likely:
        return {}
    with duck.connect() as connection:
        return dict(connection.execute(SQL["numbers_in_names"], {"names": likely}).fetchall())


def number_of(word: str) -> str | None:
    """The telephone number that a person has written. None if it is none, or stands for a withheld one."""
    with duck.connect() as connection:
        found = connection.execute(SQL["number_of"], {"word": word}).fetchone()
    return str(found[0]) if found else None


def keys_of_names(key: bytes, names: Iterable[str]) -> dict[str, str]:
    """The keys of the names that look like telephone numbers, by name. `key` is the customer's."""
    return {name: keyed(key, "number", number) for name, number in numbers_in_names(names).items()}


def label(key: str) -> str:
    """What reports call a queue or line of which only a key is kept, as registry.name_shown."""
    return f"number-{key[:10]}"
