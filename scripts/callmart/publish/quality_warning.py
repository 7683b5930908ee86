"""The data quality warning that Tableau shows on a customer's data sources while days are held back, or are of an
earlier definition.

On a data source of ours, the warning of this type is ours. Warnings of other types are left alone.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import tableauserverclient as TSC
from tableauserverclient.server.endpoint.exceptions import NotSignedInError

from callmart.publish.tableau import NONE_HERE, answers, by_luid

_TYPE = TSC.DQWItem.WarningType.STALE


class QualityWarning(NamedTuple):
    """Our warning on a data source."""

    luid: str
    message: str


class Unavailable(Exception):
    """Tableau has no data quality warnings for us: its Data Management is missing, or the scopes of a connected app."""


def read(server: TSC.Server, source: str) -> QualityWarning | None:
    """Return our warning on a data source (LUID), if there is one. Raises Unavailable."""
    item = by_luid(TSC.DatasourceItem, source)
    with _if_available(server):
        server.datasources.populate_dqw(item)
        found = [each for each in item.dqws if each.warning_type == _TYPE]
    return QualityWarning(found[0].id, found[0].message or "") if found else None


def add(server: TSC.Server, source: str, message: str, *, is_severe: bool) -> None:
    """Warn on a data source (LUID): people see it when they open a report, or only beside its name if it is not severe.
    Raises Unavailable.
    """
    with _if_available(server):
        server.datasources.add_dqw(
            by_luid(TSC.DatasourceItem, source), TSC.DQWItem(_TYPE, message, active=True, severe=is_severe)
        )


def remove(server: TSC.Server, luid: str) -> None:
    """Lift a warning. TSC could only lift all warnings of a data source, other people's too."""
    server.datasources.delete_request(f"{server.baseurl}/sites/{server.site_id}/dataQualityWarnings/{luid}")


@contextmanager
def _if_available(server: TSC.Server) -> Iterator[None]:
    """Any other error is raised as it is: a warning that can't be read is not one that isn't there."""
    try:
        yield
    except NotSignedInError:
        if answers(server):  # so the session goes on, and it is the scope that is missing
            raise Unavailable from None
        raise
    except TSC.ServerResponseError as error:
        if error.code in NONE_HERE:
            raise Unavailable from None
        raise
