"""Customers with words of their own everywhere, and where those words are still found."""

import json

from callmart_home import Callmart
from events import at, event, ndjson
from registries import Span, contracts

WORDS = ("Vertrekker", "verkoopq", "SIP/geheim", "Noor Zandvliet", "noor@example.org", "pauzewoord")


def leaver(customer: int, *spans: Span) -> str:
    """A customer with something of its own everywhere, each word ending with its number."""
    q, word, agent = f"verkoopq{customer}", f"pauzewoord{customer}", f"SIP/geheim{customer}"
    return (
        f"  - id: {customer}\n    name: Vertrekker{customer}\n    sql_login: true\n    {contracts(*spans)}\n"
        f"    queues: [{{name: {q}, label: L{q}}}]\n    statuses: {{{word}: break}}\n"
        f"    agents: [{{id: {agent}, name: Noor Zandvliet{customer}, email: noor@example.org{customer}}}]\n"
        f"    contacts: [{{name: Contact{customer}, email: contact@example.org{customer}, authorised: true}}]\n"
        f"    recipients: [{{email: ontvanger@example.org{customer}, reports: [traffic]}}]\n"
    )


def words_of(customer: int) -> list[str]:
    return [
        f"{word}{customer}" for word in (*WORDS, "contact@example.org", "ontvanger@example.org", "belletje")
    ]


def file_of(customer: int, first: int = 0, count: int = 3) -> str:
    """Days of one customer, with a line that is none."""
    rows = [
        row
        for day in range(first, first + count)
        for row in (
            event("queue_joined", at("10:00", day), call_id=f"belletje{customer}-{day}", queue=f"verkoopq{customer}"),
            event(
                "agent_connected", at("10:01", day), call_id=f"belletje{customer}-{day}", queue=f"verkoopq{customer}",
                agent=f"SIP/geheim{customer}",
            ),
        )
    ]  # fmt: skip
    return (
        ndjson(*rows)
        + json.dumps({"event": f"onzin{customer}", "occurred_at": at("10:00").isoformat()})
        + "\n"
    )


def tables_with(callmart: Callmart, customer: int) -> set[str]:
    """The tables with a row of the customer, by its number in customer_id or by one of its words."""
    found = set()
    with callmart.superuser() as connection:
        for (name,) in connection.execute(
            "select oid::regclass::text from pg_class"
            " where relkind in ('r', 'm') and relnamespace <> 'information_schema'::regnamespace"
            " and relpersistence <> 't'"  # of another session, which may be about to end
        ).fetchall():
            columns = {
                column
                for (column,) in connection.execute(
                    "select attname from pg_attribute where attrelid = %s::regclass and attnum > 0", [name]
                )
            }
            whose = f"t.customer_id = {customer} or" if "customer_id" in columns else ""
            hit = connection.execute(
                f"select from {name} as t where {whose} t::text ~ %s limit 1",
                ["|".join(words_of(customer)) + f"|callmart_customer_{customer}\\M"],
            ).fetchone()
            if hit is not None:
                found.add(name.rsplit("_2", 1)[0].replace('"', ""))
    return found


def paths_of(callmart: Callmart, customer: int) -> set[str]:
    """The files of callmart's own that are the customer's by name, or hold one of its words."""
    found = set()
    for path in callmart.home.rglob("*"):
        inner = path.relative_to(callmart.home)
        if inner.parts[0] in ("postgres", "inbox", "registry.yml", "emulator") or path.name.startswith(
            "landed-"
        ):
            continue
        named = str(customer) in inner.parts or path.name.split(".")[0].endswith(f"customer_{customer}")
        if named or (
            path.is_file() and any(word.encode() in path.read_bytes() for word in words_of(customer))
        ):
            found.add(inner.parts[0])
    return found
