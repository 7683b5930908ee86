"""What differs from what is declared, and what is mended, as sentences."""

from callmart.access import drift, memberships
from callmart.declarations import dbt_project
from callmart_home import Callmart


def drifted(callmart: Callmart) -> list[str]:
    with callmart.connect() as owner:
        return [one.text for one in drift.find(owner, dbt_project.marts(callmart.settings))]


def apply(callmart: Callmart) -> list[str]:
    with callmart.connect() as owner:
        return [
            one.text
            for one in memberships.apply(
                owner, callmart.settings, dbt_project.marts(callmart.settings)
            ).mended
        ]
