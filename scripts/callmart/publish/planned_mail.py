"""Plans which mails start, stop and are resumed, and counts those that were not sent."""

from collections.abc import Iterable, Iterator, Mapping

from callmart.publish.actual import Actual, Project, User, identity
from callmart.publish.desired import Mail, Publication
from callmart.publish.plans import Step
from callmart.publish.subscriptions import Subscription, when


def mail_steps(
    publication: Publication, project: Project | None, actual: Actual, removable: Mapping[str, User]
) -> tuple[list[Step], list[Step], list[str]]:
    """Return the steps that stop mail before any other change, those that start it after all changes, and the LUIDs of
    the subscriptions that mail at present.

    A subscription that somebody made is removed: it would go on mailing while mail is stopped.
    """
    customer = publication.customer_id
    stopping: list[Step] = []
    starting: list[Step] = []
    mailing: list[str] = []
    wanted = _by_recipient(publication)
    workbooks = _workbooks(project) if project else {}
    for old in project.subscriptions if project else ():
        if not old.is_suspended:
            mailing.append(old.luid)
        if old.user in removable:
            continue  # removing the user removes the subscription
        member, workbook = recipient = _recipient(old, workbooks, actual)
        mail, name = wanted.get(recipient), f"{workbook} to {member}"
        if mail is None or not old.is_as(mail):
            stopping.append(Step(customer, "remove", "subscription", name, old.luid))
            continue
        del wanted[recipient]  # so a second one for this member and workbook is removed
        is_stopped = publication.no_mail_because is not None
        if old.is_suspended and mail.state == "to come" and not is_stopped:
            starting.append(Step(customer, "change", "subscription", name, old.luid, content=mail))
        elif not old.is_suspended and (mail.state == "over" or is_stopped):
            stopping.append(Step(customer, "change", "subscription", name, old.luid))
    if publication.mail_stopped_because is None:
        starting += _address_steps(publication, actual)
        for mail in wanted.values():
            if actual.schedules is not None and when(mail) not in actual.schedules:
                starting.append(Step(customer, "add", "schedule", when(mail)))
            name = f"{mail.workbook} to {mail.member}"
            starting.append(Step(customer, "add", "subscription", name, content=mail))
    # Several mails can start at one time. They share its schedule, which is added once.
    return stopping, list(dict.fromkeys(starting)), mailing


def unmailed(publication: Publication, project: Project | None, actual: Actual) -> int:
    """Return how many mails were suspended at their hour, of those whose hour has come since the last publication.

    Tableau does not make up for them. Nothing is known of a customer's first publication on a site.
    """
    seen, at, wanted = publication.mails_seen, publication.at, _by_recipient(publication)
    if seen is None or at is None or project is None:
        return 0
    workbooks = _workbooks(project)
    mails: Iterable[Mail | None] = (
        wanted.get(_recipient(old, workbooks, actual)) for old in project.subscriptions if old.is_suspended
    )
    if not project.subscriptions:
        mails = wanted.values()  # none is made while mail is stopped
    return sum(mail is not None and seen < mail.hour <= at for mail in mails)


def _address_steps(publication: Publication, actual: Actual) -> Iterator[Step]:
    """Steps that give a mail address to accounts on Tableau Server which are to be mailed and have none."""
    if actual.schedules is None:
        return  # on Tableau Cloud the name is the address
    for member in dict.fromkeys(mail.member for mail in publication.mails):
        user = actual.users.get(identity(member))
        if user is not None and not user.has_address:
            yield Step(publication.customer_id, "change", "user", member, user.luid)


def _by_recipient(publication: Publication) -> dict[tuple[str, str], Mail]:
    """The mails, by the identity of their member and the name of their workbook."""
    return {(identity(mail.member), mail.workbook): mail for mail in publication.mails}


def _workbooks(project: Project) -> dict[str, str]:
    """The names of what a project holds, by LUID."""
    return {each.luid: each.name for each in project.content}


def _recipient(subscription: Subscription, workbooks: Mapping[str, str], actual: Actual) -> tuple[str, str]:
    """The identity of a subscription's user, and the name of its workbook."""
    user = actual.users_by_luid.get(subscription.user)
    return identity(user.name) if user else subscription.user, workbooks[subscription.workbook]
