"""The data quality warning that Tableau shows on a customer's data sources while days are held back.

On a data source of ours, the warning of this type is ours. Warnings of other types are left alone.
"""

from typing import NamedTuple

import tableauserverclient as TSC
from tableauserverclient.server.endpoint.exceptions import NotSignedInError

_TYPE = TSC.DQWItem.WarningType.STALE
_UNKNOWN = ("400", "403", "404", "405")  # how error codes begin where Tableau has no warnings


class QualityWarning(NamedTuple):
    """Our warning on a data source."""

    luid: str
    message: str


class Unavailable(Exception):
    """The site has no data quality warnings: they need Tableau's Data Management."""


def read(server: TSC.Server, source: str) -> QualityWarning | None:
    """Return our warning on a data source (LUID), if there is one. Raises Unavailable."""
    item = TSC.DatasourceItem()
    item._id = source  # TSC has no other way to refer to a data source that it didn't list
    server.datasources.populate_dqw(item)
    try:
        found = [each for each in item.dqws if each.warning_type == _TYPE]
    except NotSignedInError:  # the connected app lacks the scope
        raise Unavailable from None
    except TSC.ServerResponseError as error:
        if error.code.startswith(_UNKNOWN):
            raise Unavailable from None
        raise
    return QualityWarning(found[0].id, found[0].message or "") if found else None


def add(server: TSC.Server, source: str, message: str) -> None:
    """Warn on a data source (LUID), in a way that people see when they open a report."""
    item = TSC.DatasourceItem()
    item._id = source
    server.datasources.add_dqw(item, TSC.DQWItem(_TYPE, message, active=True, severe=True))


def remove(server: TSC.Server, luid: str) -> None:
    """Lift a warning. TSC could only lift all warnings of a data source, other people's too."""
    server.datasources.delete_request(f"{server.baseurl}/sites/{server.site_id}/dataQualityWarnings/{luid}")
