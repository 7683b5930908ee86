"""Compares what every user reaches on a site of Tableau with what is declared."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from callmart.audit.tableau_site import EVERYTHING, Kind, Site, Thing, User
from callmart.publish.actual import Actual, identity
from callmart.publish.desired import Publication
from callmart.publish.grants import ALLOWED, EXPORTING
from callmart.publish.plans import shortened

_SCOPES: Mapping[Kind, str] = {
    "project": "project",
    "data source": "datasource",
    "workbook": "workbook",
    "view": "workbook",
}
_BESIDE = 0  # instead of a customer's number: in the project above all customers, but of no customer


@dataclass(frozen=True)
class Compared:
    """The result of a comparison: how much was looked at, and a sentence per difference."""

    must: int  # things that recipients must reach, counted per recipient
    lacking: list[str]
    things: int
    beyond: list[str]
    astray: list[str]
    # By customer: what its content is, and what anybody may have written about it.
    said: list[tuple[int, str, tuple[str, ...]]]
    # Users who see customers' content because of their position: how many per position.
    persons: dict[str, int]


def compare(site: Site, desired: Mapping[int, Publication], actual: Actual) -> Compared:
    """Compare what the users of a site reach with what they should reach.

    Each recipient must reach all the content of its customer, with the declared capabilities. Nobody may reach more.
    All content with a customer's data must be in the customer's project: a workbook elsewhere would show the data to
    others, whatever the rights on its data source. `actual` tells which customer each project belongs to.

    What another installation publishes is checked only for our recipients. They may reach there what the other
    installation's group of the customer gives its members, if they are members, and no more.
    """
    places: dict[str, int | None] = {
        project.luid: customer for customer, projects in actual.projects.items() for project in projects
    }
    if actual.top is not None:
        places[actual.top.luid] = _BESIDE
        for thing in site.projects.values():
            if thing.project == actual.top.luid and _of_another(thing, actual):
                places[thing.luid] = None
    return _Comparison(site, desired, places, actual.installation).result()


def _of_another(thing: Thing, actual: Actual) -> bool:
    return thing.mark is not None and thing.mark.installation not in (None, actual.installation)


class _Comparison:
    def __init__(
        self,
        site: Site,
        desired: Mapping[int, Publication],
        places: Mapping[str, int | None],
        installation: str,
    ) -> None:
        self.site, self.desired, self.places, self.installation = site, desired, places, installation
        self.ours: dict[int | None, list[Thing]] = defaultdict(list)  # None: content of no customer
        for thing in site.things:
            owned = (places[project.luid] for project in site.above(thing) if project.luid in places)
            self.ours[next(owned, None)].append(thing)
        self.reached = {thing.luid: site.reached(thing) for thing in site.things}
        by_name = {identity(user.name): user for user in site.users.values()}
        self.recipients = {
            customer: {name: by_name.get(identity(name)) for name in publication.members}
            for customer, publication in desired.items()
        }
        self.customers: dict[str, set[int]] = {}  # by LUID of the recipient
        for customer, users in self.recipients.items():
            for user in users.values():
                if user is not None:
                    self.customers.setdefault(user.luid, set()).add(customer)

    def result(self) -> Compared:
        must, lacking = 0, []
        for customer, users in self.recipients.items():
            wanted = [thing for thing in self.ours[customer] if self._is_declared(customer, thing)]
            lacking += list(self._absent(customer, wanted))
            must += len(users) * len(wanted)
            for name, user in users.items():
                lacking += list(self._lacking(customer, name, user, wanted))
        ours = sum(len(things) for customer, things in self.ours.items() if customer is not None)
        said = [
            (customer, self._named(customer, [thing]), thing.said)
            for customer, things in self.ours.items()
            for thing in things
            if customer
        ]
        return Compared(
            must, lacking, ours, list(self._beyond()), list(self._astray()), said, self._persons()
        )

    def _is_declared(self, customer: int, thing: Thing) -> bool:
        if customer not in self.desired:
            return False
        match thing.kind:
            case "project":
                return True
            case "data source":
                return thing.name in {each.name for each in self.desired[customer].data_sources}
            case _:
                return thing.name in {each.name for each in self.desired[customer].workbooks}

    def _absent(self, customer: int, there: list[Thing]) -> Iterator[str]:
        publication = self.desired[customer]
        names = {(thing.kind, thing.name) for thing in there}
        wanted = [("data source", each.name) for each in publication.data_sources]
        wanted += [(kind, each.name) for kind in ("workbook", "view") for each in publication.workbooks]
        for kind, name in wanted:
            if (kind, name) not in names:
                yield f"customer {customer}: {kind} '{name}' is not there; publish again"

    def _lacking(self, customer: int, name: str, user: User | None, wanted: list[Thing]) -> Iterator[str]:
        if user is None:
            yield f"customer {customer}: {shortened(name)} is not on the site; publish again"
        elif not user.signs_in:
            yield f"customer {customer}: {user.shown} can't sign in; give it the site role Viewer on Tableau"
        elif not user.is_administrator:
            lacking = [
                thing for thing in wanted if not self._may(thing, user) >= self._declared(customer, thing)
            ]
            if lacking:
                yield (
                    f"customer {customer}: {user.shown} does not fully reach "
                    f"{self._named(customer, lacking)}; publish again"
                )

    def _may(self, thing: Thing, user: User) -> frozenset[str]:
        capabilities = self.reached[thing.luid].get(user.luid, frozenset())
        return self._declared(None, thing) if capabilities == EVERYTHING else capabilities

    def _beyond(self) -> Iterator[str]:
        for luid, customers in self.customers.items():
            if self.site.users[luid].is_administrator:
                who = self.site.users[luid].shown
                numbers = ", ".join(str(customer) for customer in sorted(customers))
                yield f"{who}, a recipient of customer {numbers}, reaches everything; give it the site role Viewer"
        for customer, things in self.ours.items():
            found: dict[str, list[tuple[Thing, frozenset[str]]]] = defaultdict(list)
            for thing in things:
                for luid, capabilities in self.reached[thing.luid].items():
                    if beyond := self._is_beyond(customer, luid, thing, capabilities):
                        found[luid].append((thing, beyond))
            for luid, several in found.items():
                yield self._sentence(customer, luid, several)

    def _is_beyond(
        self, customer: int | None, luid: str, thing: Thing, capabilities: frozenset[str]
    ) -> frozenset[str]:
        """The capabilities on a thing that a user has and should not have."""
        if customer is None:
            # A project of another installation shows only its customer's name.
            is_harmless = thing.kind == "project" and thing.luid not in self.places
            if luid not in self.customers or is_harmless:
                return frozenset()  # nothing of ours
            return capabilities - (
                self._declared(None, thing) if self._is_received(luid, thing) else frozenset()
            )
        if luid not in self.customers and luid in self.site.owners(thing):
            return frozenset()  # because of the position as owner: reported in `persons`, not a breach
        is_own = customer in self.customers.get(luid, ())
        return capabilities - (self._declared(customer, thing) if is_own else frozenset())

    def _declared(self, customer: int | None, thing: Thing) -> frozenset[str]:
        """The declared capabilities of a recipient on a thing; of None, in another installation's project, the most."""
        scope, exporting = EXPORTING
        exports = customer is None or (customer in self.desired and self.desired[customer].exports)
        declared = frozenset(ALLOWED[_SCOPES[thing.kind]])
        return declared | {exporting} if exports and _SCOPES[thing.kind] == scope else declared

    def _is_received(self, luid: str, thing: Thing) -> bool:
        """Whether a thing is in another installation's project of a customer whose group there has the user."""
        project = next((each for each in self.site.above(thing) if each.luid in self.places), None)
        group = self.site.customer_groups.get(project.mark) if project and project.mark else None
        return group is not None and luid in self.site.groups[group]

    def _astray(self) -> Iterator[str]:
        """Content with a customer's data that is outside of its project, or that uses another customer's data."""
        sources = {
            customer: {thing.luid for thing in things if thing.kind == "data source"}
            for customer, things in self.ours.items()
        }
        of_customers = {luid: customer for customer, luids in sources.items() if customer for luid in luids}
        for customer, things in self.ours.items():
            for thing in things:
                what = self._named(customer, [thing])
                mark = thing.mark if thing.kind != "project" else None
                if mark and mark.installation == self.installation and mark.customer_id != customer:
                    yield (
                        f"customer {mark.customer_id}: {thing.kind} {thing.luid} is not in the customer's project; "
                        "remove it, or move it back and publish again"
                    )
                if thing.kind != "workbook":
                    continue
                if not customer:
                    for other in sorted({of_customers[luid] for luid in thing.sources & of_customers.keys()}):
                        yield f"customer {other}: {what}, outside its project, uses its data; remove it"
                elif not thing.sources or not thing.sources <= sources[customer]:
                    yield (
                        f"customer {customer}: {what} does not use the customer's data sources only; remove it "
                        "and publish again"
                    )

    def _sentence(self, customer: int | None, luid: str, found: list[tuple[Thing, frozenset[str]]]) -> str:
        user = self.site.users.get(luid)
        who = user.shown if user else f"user {luid}"
        what = self._named(customer, [thing for thing, _ in found])
        how = ", ".join(sorted(frozenset[str]().union(*(capabilities for _, capabilities in found))))
        if customer is None:
            remedy = "remove the rule that allows it, or keep that content on another site"
            return f"{who}, a recipient, reaches content of no customer: {what} ({how}); {remedy}"
        owned = any(luid in self.site.owners(thing) for thing, _ in found)
        remedy = "give it to another owner on Tableau" if owned else "publish again"
        place = f"customer {customer}" if customer != _BESIDE else "beside the customers"
        return f"{place}: {who} reaches {what} ({how}); {remedy}"

    def _named(self, customer: int | None, things: list[Thing]) -> str:
        """The names of things. Only declared content is named; for anything else the LUID is used, because its name
        could be somebody's. A view is left out if its workbook is named.
        """
        named: dict[Kind, list[str]] = defaultdict(list)
        for thing in things:
            declared = customer is not None and self._is_declared(customer, thing)
            name = f"'{thing.name}'" if declared and thing.kind != "project" else thing.luid
            if thing.kind != "view" or name not in named["workbook"]:
                named[thing.kind].append(name)
        return " and ".join(
            f"{kind}{'s' * (len(names) > 1)} {', '.join(names)}" for kind, names in named.items() if names
        )

    def _persons(self) -> dict[str, int]:
        """The number of users who see customers' content as administrators, by site role, or as owners."""
        found = Counter(
            next(role for role in sorted(user.roles) if "Administrator" in role)
            for user in self.site.users.values()
            if user.is_administrator
        )
        owners = {
            luid
            for customer, things in self.ours.items()
            if customer is not None
            for thing in things
            for luid in self.site.owners(thing) & self.reached[thing.luid].keys() - self.customers.keys()
        }
        if owners:
            found["owner of content, not an administrator"] = len(owners)
        return dict(found)
