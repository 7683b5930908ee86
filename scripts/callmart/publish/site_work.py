"""The steps for the whole site, and what customers share on it: the top project, the users and the schedules."""

from threading import Lock

import tableauserverclient as TSC
from lxml import etree

from callmart.publish import subscriptions
from callmart.publish.actual import HIDDEN, TOP_PROJECT, identity
from callmart.publish.grants import NOBODY, close
from callmart.publish.listing import everything
from callmart.publish.planning import is_unclaimed
from callmart.publish.plans import ROLE, TOP_LOCK, Plan, Step
from callmart.publish.tableau import by_luid

# How the codes begin with which Tableau refuses a mail address, or a user: it does not take this one, or not from our
# user.
_REFUSED = ("400", "403")
_NOT_ADDED = (*_REFUSED, "404", "409")
_IS_MEMBER = "409011"
_SAME_SCHEDULE = "409021"  # a schedule has this name already


class SiteWork:
    """What all customers share: the top project, the users and the schedules."""

    def __init__(self, server: TSC.Server, plan: Plan) -> None:
        self.server = server
        self.lost: str | None = None  # why no customer can continue
        self.stuck: dict[str, str] = {}  # users for whom a step of the site failed, with the reason
        self.installation = plan.installation
        self._lock = Lock()  # customers share users and schedules
        self.top_id = plan.top_id
        self.users = {name: user.luid for name, user in plan.users.items()}
        # Accounts that are not put into our group any more: those in it, and those of others.
        self._settled = {name for name, user in plan.users.items() if user.is_ours}
        self.users_group = plan.users_group
        self._before = plan.users_before
        self._belongings = plan.belongings
        self.schedules = None if plan.schedules is None else dict(plan.schedules)
        self.unaccepted: set[str] = set()  # the identities of those whom Tableau does not accept
        # Whether an account, by LUID, has a mail address, as far as that is known.
        self._has_address = {user.luid: True for user in plan.users.values() if user.has_address}

    def perform(self, step: Step) -> None:
        """Carry out a step that belongs to no customer."""
        server = self.server
        match step.action, step.kind:
            case "remove", "user":
                self._remove_user(str(step.luid))
            case "change", "user":
                self._update_user(str(step.luid), siteRole=ROLE)
            case "remove", "member":
                server.groups.remove_user(by_luid(TSC.GroupItem, str(self.users_group)), str(step.luid))
            case "add", "member":
                join(server, str(self.users_group), str(step.luid))
            case "adopt", _:
                self._adopt_users()
            case _, "site":
                self._hide_users()
            case "add", "group":
                self.users_group = server.groups.create(TSC.GroupItem(step.name)).id
            case _, "permissions":
                close(server, str(self.top_id), NOBODY)
            case _:
                item = TSC.ProjectItem(TOP_PROJECT, content_permissions=TOP_LOCK, id=self.top_id)
                self.top_id = (server.projects.update if self.top_id else server.projects.create)(item).id

    def _adopt_users(self) -> None:
        """Move the users whom callmart added before there were marks into the marked group."""
        before = self._before
        assert before is not None
        for luid in sorted(before.members):
            join(self.server, str(self.users_group), luid)
        self.server.groups.delete(before.luid)

    def _hide_users(self) -> None:
        """Hide the site's users from each other. TSC's update would also change the site's other settings."""
        request = etree.Element("tsRequest")
        etree.SubElement(request, "site", userVisibilityMode=HIDDEN)
        sites = self.server.sites
        sites.put_request(f"{sites.baseurl}/{self.server.site_id}", etree.tostring(request))

    def add_user(self, name: str) -> None:
        """Add a user to the site, with the smallest role, and to our group of users; once for all customers. One whom
        Tableau does not accept is noted.
        """
        with self._lock:
            key = identity(name)
            if key in self.unaccepted:
                return
            if key not in self.users:
                user = self._added(name)
                if user is None:
                    self.unaccepted.add(key)
                    return
                self.users[key] = user.id
                if not is_unclaimed(user.site_role, is_unused=user.last_login is None):
                    self._settled.add(key)
            if key not in self._settled:
                join(self.server, str(self.users_group), self.users[key])
                self._settled.add(key)

    def _added(self, name: str) -> TSC.UserItem | None:
        """A user who has just been added to the site, by us or by somebody else since it was read. None if Tableau does
        not accept that user.
        """
        try:
            return self.server.users.add(TSC.UserItem(name, ROLE))
        except TSC.ServerResponseError as error:
            if not error.code.startswith(_NOT_ADDED):
                raise
            users = everything(self.server.users) if error.code.startswith("409") else []
            return next((user for user in users if identity(user.name) == identity(name)), None)

    def reaches(self, luid: str, address: str) -> bool:
        """Whether Tableau can mail to an account. On Tableau Server one without an address gets this one, unless
        Tableau refuses that: a site administrator may not set it if the user is on a site of others, too.
        """
        with self._lock:
            if self.schedules is not None and luid not in self._has_address:
                self._has_address[luid] = self._give_address(luid, address)
            return self._has_address.get(luid, True)

    def _give_address(self, luid: str, address: str) -> bool:
        if self.server.users.get_by_id(luid).email:
            return True  # a new user of this site can have an account already
        try:
            self._update_user(luid, email=address)
        except TSC.ServerResponseError as error:
            if not error.code.startswith(_REFUSED):
                raise
            return False
        return True

    def add_schedule(self, name: str) -> None:
        """Create a schedule, once for all customers. It can have been made since the schedules were read, as the sites
        of a server share them.
        """
        with self._lock:
            if self.schedules is None or name in self.schedules:
                return
            try:
                self.schedules[name] = subscriptions.add_schedule(self.server, name)
            except TSC.ServerResponseError as error:
                if error.code != _SAME_SCHEDULE:
                    raise
                self.schedules |= {each.name: each.id for each in everything(self.server.schedules)}
                if name not in self.schedules:
                    raise

    def _remove_user(self, luid: str) -> None:
        """Remove a user from the site. One who owns content can't be removed, only kept from signing in. Then it loses
        by itself what goes with a user: should somebody give it a licence, it must see nothing.
        """
        try:
            self.server.users.remove(luid)
        except TSC.ServerResponseError as error:
            if not error.code.startswith("409"):
                raise
            groups, subscribed = self._belongings[luid]
            for group in groups:
                self.server.groups.remove_user(by_luid(TSC.GroupItem, group), luid)
            for each in subscribed:
                self.server.subscriptions.delete(each)
            self._update_user(luid, siteRole="Unlicensed")

    def _update_user(self, luid: str, **attributes: str) -> None:
        """Change only this of a user. TSC's update would also send the name, which a site administrator may not."""
        request = etree.Element("tsRequest")
        etree.SubElement(request, "user", **attributes)
        users = self.server.users
        users.put_request(f"{users.baseurl}/{luid}", etree.tostring(request))


def join(server: TSC.Server, group: str, user: str) -> None:
    """Add a user to a group (LUIDs), who may be in it already."""
    try:
        server.groups.add_user(by_luid(TSC.GroupItem, group), user)
    except TSC.ServerResponseError as error:
        if error.code != _IS_MEMBER:
            raise
