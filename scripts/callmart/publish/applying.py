"""Carries out a plan customer by customer."""

from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from threading import Lock

import tableauserverclient as TSC

from callmart.publish.customer_work import CustomerWork
from callmart.publish.desired import Publication
from callmart.publish.plans import CustomerPlan, Plan, Step, mail_alert, shortened
from callmart.publish.site_work import SiteWork
from callmart.publish.tableau import FAILURES, LOST, answers, reason


@dataclass(frozen=True)
class Outcome:
    """What was done for a customer, and the error that stopped it, if any, as a sentence for a person.

    `customer_id` is None for an error that concerns no customer.
    """

    customer_id: int | None
    project_id: str | None  # LUID of its project, if it has our mark now
    done: tuple[Step, ...]
    error: str | None = None
    alert: str | None = None  # no error, but a person should know it
    is_warned: bool | None = None  # whether its data sources can have a warning now; None if it isn't known
    # How often people have opened each report, if that was read.
    opened: Mapping[str, int | None] | None = None
    is_gone: bool = False  # nothing of the customer is on the site any more
    user: str | None = None  # LUID of the account that the error is about, if it concerns no customer
    # False if Tableau refuses a recipient, or has no mail address of one who is to be mailed.
    mails_all: bool = True
    mails_seen: datetime | None = None  # when it was seen which mails had gone out


def apply(
    server: TSC.Server, plan: Plan, on_step: Callable[[Step], None] = lambda step: None, workers: int = 1
) -> list[Outcome]:
    """Carry out `plan`, verify afterwards who can reach what, and return the outcome per customer.

    `on_step` is called after each change. The customers are divided among `workers` threads, which share one session.
    The failure of one customer doesn't affect the others, nor does that of a user of the site. The next plan finishes
    what could not be finished.
    """
    site = SiteWork(server, plan)
    for step in plan.top:
        try:
            site.perform(step)
        except FAILURES as failure:
            if step.kind not in ("user", "member") or isinstance(failure, LOST):
                raise
            site.stuck[str(step.luid)] = f"the user {step.shown}: {reason(failure)}"
            continue
        on_step(step)
    members = frozenset[str]().union(*(customer.members for customer in plan.customers))
    elsewhere = [
        Outcome(None, None, (), error, user=luid) for luid, error in site.stuck.items() if luid not in members
    ]
    lock = Lock()

    def finished(step: Step) -> None:
        with lock:
            on_step(step)

    pool = ThreadPoolExecutor(workers)
    try:
        return [*elsewhere, *pool.map(lambda customer: _outcome(site, customer, finished), plan.customers)]
    finally:
        pool.shutdown(cancel_futures=True)  # if it is interrupted, no further customer begins


def _outcome(site: SiteWork, customer: CustomerPlan, on_step: Callable[[Step], None]) -> Outcome:
    work = CustomerWork(site, customer)
    done = []
    error = site.lost if customer.steps else None
    if error is None:
        try:
            for step in work.perform():
                done.append(step)
                on_step(step)
        except Exception as failure:  # any error stops only this customer
            error = reason(failure)
            if isinstance(failure, LOST) and not answers(site.server):
                site.lost = error
    is_marked = all(step in done for step in customer.steps if step.action == "adopt")
    return Outcome(
        customer.customer_id,
        work.project_id or None if is_marked else None,
        tuple(done),
        _sentence(customer.customer_id, customer.problem or error),
        _sentence(
            customer.customer_id,
            customer.mail_alert or _unaccepted(work.unaccepted) or _unreachable(work.unreachable),
        ),
        is_warned=_may_be_warned(customer, error),
        opened=customer.opened,
        # A project that others' content keeps is looked at by each run, until it can be removed.
        is_gone=error is None
        and not (customer.stays or customer.waits or customer.problem or customer.foreign),
        mails_all=not (work.unaccepted or work.unreachable),
        mails_seen=customer.mails_seen,
    )


def _may_be_warned(customer: CustomerPlan, error: str | None) -> bool | None:
    """Whether the customer's data sources can have a warning now; None if it isn't known."""
    if customer.warnings:
        return True
    if customer.has_warnings and not customer.problem and error is None:
        return False
    return None


def untouched(publication: Publication) -> Outcome:
    """Return the outcome for a customer who has what it should, so that nothing is done."""
    customer_id, alert = publication.customer_id, mail_alert(publication.mail_stopped_because)
    return Outcome(customer_id, None, (), alert=_sentence(customer_id, alert))


def _unreachable(users: Collection[str]) -> str | None:
    if not users:
        return None
    return (
        f"the weekly mail can't reach {len(users)} of its recipients: their accounts on Tableau have no mail address, "
        "and Tableau refuses it from callmart's user; let a server administrator enter it for those whom "
        "`callmart publish --plan` shows, then run `callmart publish`"
    )


def _unaccepted(names: Collection[str]) -> str | None:
    if not names:
        return None
    return (
        f"Tableau does not accept {len(names)} of its recipients ({', '.join(map(shortened, sorted(names)))}), who see "
        "and get nothing: correct them in the registry, or what Tableau has against them, then run `callmart publish`"
    )


def _sentence(customer_id: int, what: str | None) -> str | None:
    return f"customer {customer_id}: {what}" if what else None
