"""How far a customer's data goes, for those who see only rows: a data source holds it beside its marts.

It is the view mart.data_through, which has one row per customer, and is read, held and related as a mart is. The last
day that has rows would say less: a day on which nobody called a queue is open, and the queue's marts have no row of it.
"""

from collections.abc import Iterable

from callmart.base.declared import Caption
from callmart.declarations.mart import Column, Mart

THROUGH = Mart(
    name="data_through",
    group="queue",
    key=("customer_id",),
    day=None,
    caption=Caption(nl="Gegevens tot en met", en="Data through"),
    declared=(
        Column(name="customer_id", data_type="integer"),
        Column(
            name="through",
            data_type="date",
            description="The last day of the customer that is open.",
            caption=Caption(nl="Laatste open dag", en="Last open day"),
            description_nl="De laatste dag van de klant die open is.",
            nullable=True,
        ),
        Column(
            name="so_far",
            data_type="timestamp without time zone",
            description="Until when the data of that day goes, by the customer's clock, while the day is not over.",
            caption=Caption(nl="Tot nu toe", en="So far"),
            description_nl="Tot wanneer de gegevens van die dag gaan, volgens de klok van de klant, zolang hij loopt.",
            nullable=True,
        ),
    ),
)


def tables(marts: Iterable[Mart], group: str) -> list[Mart]:
    """The tables of a customer's data source of a group."""
    return [*(mart for mart in marts if mart.group == group), THROUGH]
