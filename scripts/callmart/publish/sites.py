"""Publishes to each site on Tableau: to the one that customers share, and to those that some have for themselves.

A customer that moves is filled on its new site before it is cleared from the old one. Meanwhile nothing is mailed from
the old one. A site that can't be read stops only the customers that are, or should be, on it.
"""

import shutil
from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import psycopg

from callmart.base.errors import UserError
from callmart.base.progress import OnItem
from callmart.base.settings import Settings
from callmart.extract import extract
from callmart.publish import applying, bookkeeping, deriving, installation, planning, reading
from callmart.publish.actual import Actual, Books, identity
from callmart.publish.applying import Outcome
from callmart.publish.desired import DataSource, Publication
from callmart.publish.plans import Plan, Step
from callmart.publish.tableau import FAILURES, At, reason

_GONE = "if no site has that name any more, run `callmart publish --forget-site {site}`"


@dataclass(frozen=True)
class Found:
    """What there is on the sites, and what there should be. Everything is by site."""

    desired: Mapping[str, tuple[Publication, ...]]
    books: Mapping[str, Books]
    actual: Mapping[str, Actual]
    unread: Mapping[str, str]  # why a site can't be read

    def moving(self, site: str) -> frozenset[int]:
        """Return the customers that are, or may be, on a site and should be on another."""
        there = self.actual[site].customers if site in self.actual else self.books[site].known
        others = (wanted for other, wanted in self.desired.items() if other != site)
        return frozenset(there & {one.customer_id for one in chain.from_iterable(others)})


@dataclass(frozen=True)
class Plans:
    """All changes on all sites that could be read."""

    found: Found
    adopts: bool
    by_site: Mapping[str, Plan]
    clearing: Mapping[str, Plan]  # what follows on a site when those who move from it are on another
    is_of_all: bool = True  # and not of one customer alone

    @property
    def filling(self) -> list[tuple[str, Plan]]:
        """The plans up to clearing. Where customers move from comes first, so that mail stops there before it starts on
        the other site.
        """
        return sorted(self.by_site.items(), key=lambda each: each[0] not in self.clearing)

    @property
    def all(self) -> list[tuple[str, Plan]]:
        """The plans in their order."""
        return [*self.filling, *self.clearing.items()]

    @property
    def leaving(self) -> tuple[int, ...]:
        """The customers from whom everything is removed. Whoever moves to another site is not among them."""
        return _sorted(plan.leaving for plan in self.by_site.values())

    @property
    def adopting(self) -> tuple[int, ...]:
        """The customers with something that has no mark yet and is marked as ours."""
        return _sorted(plan.adopting for _, plan in self.all)

    @property
    def is_troubled(self) -> bool:
        """Whether something needs a person."""
        return bool(self.found.unread) or any(one.alerts for _, plan in self.all for one in plan.customers)

    def of(self, customer_id: int) -> "Plans":
        """Return the changes for one customer, and those above all customers."""
        by_site = {site: _of(plan, {customer_id}) for site, plan in self.by_site.items()}
        clearing = {site: _of(plan, {customer_id}) for site, plan in self.clearing.items()}
        return replace(self, by_site=by_site, clearing=clearing, is_of_all=False)

    def lines(self, *, troubles: bool = True) -> Iterator[str]:
        """Yield the plans as text for a person, each under the name of its site if there are several."""
        for site, why in self.found.unread.items() if troubles else ():
            yield f"! {_named(site)} can't be read: {why}"
        for site, plan in self.all:
            if list(self.found.books) != [""]:
                after = ", as soon as they are on the other one" if plan is self.clearing.get(site) else ""
                yield f"on {_named(site)}{after}"
            yield from plan.lines(troubles=troubles)

    def as_json(self) -> dict[str, Any]:
        """Return the plans for a program. The shared site has the name ""."""
        found = [(site, plan.as_json()) for site, plan in self.all]
        return {
            **{
                kind: [{"site": site, **each} for site, plan in found for each in plan[kind]]
                for kind in ("steps", "foreign")
            },
            **{
                kind: {key: value for _, plan in found for key, value in plan[kind].items()}
                for kind in ("problems", "held", "unmailed")
            },
            "other_installations": dict(
                sum((Counter(plan["other_installations"]) for _, plan in found), Counter())
            ),
            "leaving": list(self.leaving),
            "adopting": list(self.adopting),
            "unchanged": sum(plan.unchanged for plan in self.by_site.values()),
            "unread": dict(self.found.unread),
        }


def read(connection: psycopg.Connection, settings: Settings, at: At, *, only_due: bool = False) -> Found:
    """Read what there is on each site, and work out what there should be. If `only_due`, only those customers count who
    are due (`bookkeeping.due`). A site without one is not read.

    Raises UserError if there is only the shared site and it can't be read, or if a report can't be published anywhere.
    """
    desired: dict[str, tuple[Publication, ...]] = defaultdict(tuple)
    for one in deriving.desired(connection, settings):
        desired[one.site] += (one,)
    names = bookkeeping.sites(connection, settings)
    books = {site: bookkeeping.books(connection, settings, site) for site in names}
    if only_due and not installation.takes_over(settings.home):
        # Who is still on another site is due on both: nothing is cleared there while nobody looks here.
        moving = {
            one.customer_id
            for site, wanted in desired.items()
            for one in wanted
            if any(one.customer_id in each.known for other, each in books.items() if other != site)
        }
        books = {
            site: replace(each, due=bookkeeping.due(connection, settings, desired[site], each, site) | moving)
            for site, each in books.items()
        }
    connection.commit()
    actual: dict[str, Actual] = {}
    unread = _spelled_otherwise(settings, names)
    for site in names:
        if site in unread or books[site].due == frozenset():
            continue
        try:
            actual[site] = reading.read(at(site), books[site])
        # Also an answer that TSC doesn't understand, such as one about others' content.
        except Exception as error:
            unread[site] = reason(error)
    if unread and names == [""]:
        raise UserError(unread[""])
    return Found(desired, books, actual, unread)


def _spelled_otherwise(settings: Settings, names: list[str]) -> dict[str, str]:
    """The names that differ from others only in case, with what is wrong. They are of one site, and what is under one
    of them would be removed under the other, also if only one is read.
    """
    alike = defaultdict(list)
    for site in names:
        alike[identity(site or settings.tableau.site)].append(site)
    return {
        site: f"it is the same site as {' and '.join(_named(each) for each in several if each != site)}; "
        "write its name in one way, in registry.yml and in the settings"
        for several in alike.values()
        for site in several
        if len(several) > 1
    }


def plan(found: Found, *, adopts: bool = True) -> Plans:
    """Return the changes on each site that could be read. `adopts` is that of `planning.plan`."""
    found = _without_mail_twice(found)
    by_site = {
        site: planning.plan(
            found.desired.get(site, ()),
            actual,
            adopts=adopts,
            waiting=found.moving(site),
            only=found.books[site].due,
        )
        for site, actual in found.actual.items()
    }
    plans = Plans(found, adopts, by_site, {})
    reachable = {one.customer_id for site in by_site for one in found.desired.get(site, ())}
    moving = {site: found.moving(site) & reachable for site in by_site}
    return replace(
        plans, clearing={site: _clearing(plans, site, each) for site, each in moving.items() if each}
    )


def _without_mail_twice(found: Found) -> Found:
    """A customer that moves gets no mail from its new site while nobody knows whether the old one mails."""
    stopped = {
        customer: f"{_named(site)}, on which it has been, can't be read"
        for site in found.unread
        for customer in found.moving(site)
    }
    desired = {
        site: tuple(
            replace(one, no_mail_because=one.no_mail_because or stopped.get(one.customer_id))
            for one in wanted
        )
        for site, wanted in found.desired.items()
    }
    return replace(found, desired=desired)


def _clearing(plans: Plans, site: str, moved: Container[int]) -> Plan:
    """The rest of the changes on a site when these customers have moved."""
    found = plans.found
    rest = planning.plan(
        found.desired.get(site, ()),
        found.actual[site],
        adopts=plans.adopts,
        waiting={one for one in found.moving(site) if one not in moved},
    )
    before = plans.by_site[site].top
    top = tuple(step for step in rest.top if step not in before)
    return _of(replace(rest, top=top, foreign=(), others={}), moved)


def _of(plan: Plan, customers: Container[int]) -> Plan:
    return replace(plan, customers=tuple(one for one in plan.customers if one.customer_id in customers))


def _sorted(customers: Iterable[tuple[int, ...]]) -> tuple[int, ...]:
    return tuple(sorted(set(chain.from_iterable(customers))))


def _named(site: str) -> str:
    return f"the site '{site}'" if site else "the shared site"


def apply(
    connection: psycopg.Connection, settings: Settings, at: At, plans: Plans, on_step: OnItem
) -> list[Outcome]:
    """Carry out the plans, and record and return the outcomes per customer and site. Commits.

    `on_step(name, finished, of)` is called after each step. If the settings don't keep extracts, each is deleted from
    disk as soon as it is published.
    """
    steps = sum(len(plan.steps) for _, plan in plans.all)
    done = iter(range(1, steps + 1))
    keeps = settings.tableau.keeps_extracts

    def finished(step: Step) -> None:
        if not keeps and isinstance(step.content, DataSource) and isinstance(step.content.data, Path):
            step.content.data.unlink()
        on_step(step.shown, next(done, steps), steps)

    def carry_out(site: str, plan: Plan) -> list[Outcome]:
        stay = [one.customer_id for one in plan.customers if one.stays and one.steps]
        bookkeeping.begin(connection, site, stay)
        try:
            outcomes = applying.apply(at(site), plan, finished, reading.WORKERS)
        except Exception as error:
            return _failed(connection, settings, plans.found, site, reason(error))
        bookkeeping.record(connection, settings, outcomes, site)
        with suppress(UserError, *FAILURES):  # the next publication notes them
            noted = bookkeeping.noted_accounts(connection, settings, site)
            accounts = reading.accounts(at(site), plan.installation, noted)
            bookkeeping.note_accounts(connection, settings, accounts, site)
        good = {one.customer_id for one in outcomes if one.error is None and one.mails_all}
        have_all = [one for one in plans.found.desired.get(site, ()) if one.customer_id in good]
        bookkeeping.note_wanted(connection, settings, have_all, site)
        return outcomes

    outcomes = [
        one
        for site, why in plans.found.unread.items()
        for one in _failed(connection, settings, plans.found, site, why)
    ]
    outcomes += _untouched(plans.found)
    filled = set[int | None]()
    for site, plan in plans.filling:
        of_site = carry_out(site, plan)
        wanted = {one.customer_id for one in plans.found.desired.get(site, ())}
        filled |= wanted & {one.customer_id for one in of_site if one.error is None}
        outcomes += of_site
    filled -= {one.customer_id for one in outcomes if one.error}
    for site, plan in plans.clearing.items():
        if moved := {one.customer_id for one in plan.customers} & filled:
            outcomes += carry_out(site, _clearing(plans, site, moved))
    _tidy(settings, outcomes, is_of_all=plans.is_of_all)
    return outcomes


def _untouched(found: Found) -> list[Outcome]:
    """The outcomes of the customers who are not due."""
    return [
        applying.untouched(one)
        for site, books in found.books.items()
        for one in found.desired.get(site, ())
        if not books.is_due(one.customer_id)
    ]


def _failed(
    connection: psycopg.Connection, settings: Settings, found: Found, site: str, why: str
) -> list[Outcome]:
    """The outcomes of a site that could not be read or changed, which are recorded: one for all customers of the shared
    site, and one per customer of any other.
    """
    wanted = {one.customer_id for one in found.desired.get(site, ())}
    if not site:
        outcomes = [Outcome(None, None, (), f"{_named(site)}: {why}")]
    else:
        outcomes = [
            Outcome(
                customer,
                None,
                (),
                f"customer {customer}: {_named(site)}: {why}"
                + ("" if customer in wanted else f"; it is to be cleared there: {_GONE.format(site=site)}"),
            )
            for customer in sorted(found.books[site].known | wanted)
        ]
    bookkeeping.record_unread(connection, settings, outcomes, site)
    return outcomes


def _tidy(settings: Settings, outcomes: Iterable[Outcome], *, is_of_all: bool) -> None:
    """If all went well for all customers, forget whom this installation took over from. Delete extracts that an
    interrupted run left.
    """
    failed = {one.customer_id for one in outcomes if one.error}
    if is_of_all and installation.takes_over(settings.home) and not failed:
        installation.settle(settings.home)
    if not settings.tableau.keeps_extracts:
        for customer in {one.customer_id for one in outcomes} - failed:
            if (left := extract.folder(settings) / str(customer)).exists():
                shutil.rmtree(left)


def forget(connection: psycopg.Connection, settings: Settings, site: str) -> None:
    """Delete a site from the books, because it does not exist any more. Nothing is looked for there from then on.
    Commits. Raises UserError if a customer should be there, or if the books don't have it.
    """
    customers = connection.execute(
        "select customer_id, tableau_site from registry.current_option inner join registry.customer using (customer_id)"
        " order by customer_id"
    ).fetchall()
    for customer_id, own in customers:
        if settings.tableau.own_site(own) == site:
            raise UserError(
                f"customer {customer_id} has {_named(site)} in the registry; change its tableau_site there first"
            )
    if site not in bookkeeping.sites(connection, settings):
        raise UserError(f"the books have no site '{site}'; write its name as in the message about it")
    bookkeeping.forget_site(connection, site)
