"""Roles: who may read what, as logins, memberships and rights that any auditor sees in the catalogue.

A mart group is a role; a customer's role is a member of what its contract opens today and of nothing else; a duty of
access.yml is a login. Roles are shared by all databases of a cluster, so their names begin with the database's.

`sync` follows the contracts; `drift` finds what is otherwise than access.yml, the marts' YAML and the contracts say;
`apply` makes it so.
"""

import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from psycopg.types.json import Jsonb

from callmart import metrics, rights, server
from callmart.dbt import Mart
from callmart.errors import UserError
from callmart.keys import secret_file
from callmart.matrix import Limits, matrix
from callmart.settings import Settings

GROUPS = ("queue", "line", "agent", "usage")

Membership = tuple[str, str]  # role, member


def group_role(database: str, group: str) -> str:
    """The role that a mart group is."""
    return f"{database}_reads_{group}"


def customer_role(database: str, customer_id: int) -> str:
    """The role and login that a customer is; the number at its end is what the policies read."""
    return f"{database}_customer_{customer_id}"


def duty_role(database: str, duty: str) -> str:
    """The login of a duty of access.yml."""
    return f"{database}_{duty}"


def opens(option: str) -> tuple[str, ...]:
    """The groups that an option opens."""
    return matrix().customer[option]  # type: ignore[index]


# -- what the contracts open -----------------------------------------------------------------------------------


def sync(connection: psycopg.Connection, settings: Settings) -> None:
    """Make logins and memberships what the contracts open today, in the caller's transaction.

    What was given by hand stays: it is drift, which `apply` takes away.
    """
    database = connection.info.dbname
    roles = _roles(connection, database)
    for group in GROUPS:
        if group_role(database, group) not in roles:
            _execute(connection, "create role {} nologin", group_role(database, group))
    wanted = set(_standing(database))
    for duty in matrix().duties:
        _ensure_login(connection, settings.home, duty_role(database, duty), matrix().limits_of(duty), roles)
    for customer_id, option in connection.execute("select * from registry.current_option"):
        login = customer_role(database, customer_id)
        _ensure_login(connection, settings.home, login, matrix().limits_of(None), roles)
        wanted |= {(login, member) for member in _impersonators(database)}
        wanted |= {(group_role(database, group), login) for group in opens(option)}

    granted = _granted(connection)
    standing = _memberships(connection, database)
    for role, member in sorted(granted - wanted):
        if (role, member) in standing:
            _execute(connection, "revoke {} from {}", role, member)
    for role, member in sorted(wanted - granted):
        _grant(connection, role, member)
    _note_changes(connection, database, granted, wanted)
    for role in sorted({role for role, _ in granted - wanted} - {role for role, _ in wanted}):
        if _customer_of(database, role) and role in roles:
            _drop_login(connection, role)
            passfile(settings.home, role).unlink(missing_ok=True)
    own = [found for found in _drifted_roles(connection) if found.own]
    if mended := list(_repair(connection, own)):
        note_applied(connection, len(mended), 0)


def _standing(database: str) -> Iterator[Membership]:
    """The memberships of duties, whatever the contracts."""
    for name, duty in matrix().duties.items():
        for group in duty.groups:
            yield group_role(database, group), duty_role(database, name)


def _impersonators(database: str) -> list[str]:
    return [duty_role(database, name) for name, duty in matrix().duties.items() if duty.becomes]


def _grant(connection: psycopg.Connection, role: str, member: str) -> None:
    _execute(connection, f"grant {{}} to {{}} with {_how(connection.info.dbname, role)}", role, member)


def _how(database: str, role: str) -> str:
    """A group is inherited and nobody becomes it; a customer is become and nobody inherits it."""
    return "inherit false, set true" if _customer_of(database, role) else "inherit true, set false"


def _granted(connection: psycopg.Connection) -> set[Membership]:
    return {(role, member) for role, member in connection.execute("select role, member from access.granted")}


def _note_changes(
    connection: psycopg.Connection, database: str, granted: set[Membership], wanted: set[Membership]
) -> None:
    """Keep what is granted now, and tell the audit log which groups opened and closed for whom."""
    connection.execute("delete from access.granted")
    with connection.cursor() as cursor:
        cursor.executemany("insert into access.granted (role, member) values (%s, %s)", sorted(wanted))
        for action, changed in (("closed", granted - wanted), ("access opened", wanted - granted)):
            groups: dict[int, list[str]] = {}
            for role, member in sorted(changed):
                if customer := _customer_of(database, member):
                    groups.setdefault(customer, []).append(role.removeprefix(f"{database}_reads_"))
            cursor.executemany(
                "insert into ops.audit_log (action, customer_id, details) values (%s, %s, %s)",
                [(action, customer, Jsonb({"groups": names})) for customer, names in groups.items()],
            )


# -- logins ----------------------------------------------------------------------------------------------------


def _ensure_login(
    connection: psycopg.Connection, home: Path, role: str, limits: Limits, roles: set[str]
) -> None:
    """A login with its limits, and a generated password that stands in a file of its own."""
    if role not in roles:
        _execute(connection, "create role {} login", role)
        for statement in _limiting(role, limits):
            connection.execute(statement)
    if role not in roles or not passfile(home, role).exists():
        set_password(connection, home, role)


def _limiting(role: str, limits: Limits) -> Iterator[sql.Composed]:
    name = sql.Identifier(role)
    yield sql.SQL("alter role {} connection limit {} valid until 'infinity'").format(name, limits.connections)
    yield sql.SQL("alter role {} reset all").format(name)
    for setting, value in limits.settings().items():
        yield sql.SQL("alter role {} set {} = {}").format(name, sql.Identifier(setting), sql.Literal(value))


def set_password(connection: psycopg.Connection, home: Path, role: str) -> Path:
    """Give a login a new password; the file, mode 0600, in which it is handed over."""
    password = secrets.token_urlsafe(32)
    # Only the verifier travels: a password would stand in the server's log.
    verifier = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256")
    connection.execute(
        sql.SQL("alter role {} password {}").format(sql.Identifier(role), sql.Literal(verifier.decode()))
    )
    secret_file(passfile(home, role), f"*:*:*:{role}:{password}\n")
    return passfile(home, role)


def logins(connection: psycopg.Connection) -> list[str]:
    """All logins that callmart has made: duties and customers."""
    database = connection.info.dbname
    customers = sorted({role for role, _ in _granted(connection) if _customer_of(database, role)})
    return [duty_role(database, duty) for duty in matrix().duties] + customers


def refused(connection: psycopg.Connection, settings: Settings) -> list[str]:
    """The logins that do not take the password in their file: changed by hand, or made again."""
    found = []
    for role in logins(connection):
        try:
            psycopg.connect(login_uri(settings, role)).close()
        except psycopg.OperationalError as error:
            # Not for want of connections: then the password is right.
            if "password authentication failed" in str(error) or "no password supplied" in str(error):
                found.append(role)
    return found


def note_applied(connection: psycopg.Connection, mended: int, renewed: int) -> None:
    """Tell the audit log what was done to rights and passwords."""
    connection.execute(
        "insert into ops.audit_log (action, details) values ('access applied', %s)",
        [Jsonb({"mended": mended, "passwords renewed": renewed})],
    )


def _drop_login(connection: psycopg.Connection, role: str) -> None:
    """Drop a login at once, and with it what its open sessions have made: a temporary table would keep it."""
    _execute(connection, "grant {} to current_user with inherit true", role)
    _execute(connection, "drop owned by {}", role)
    _execute(connection, "drop role {}", role)


# -- drift -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Drift:
    """One thing that is otherwise than declared, and the statements that mend it; none where only a person can.

    `own` is what any login may change of itself, and which opens nothing: else one could stop the opening of all.
    """

    text: str
    repair: tuple[sql.SQL | sql.Composed, ...] = ()
    own: bool = False


def drift(connection: psycopg.Connection, marts: list[Mart] | None) -> list[Drift]:
    """All that differs from access.yml, the marts' YAML, and what `sync` last made of the contracts. Without `marts`
    their own rights and policies are left out.
    """
    if others := list(_of_others(connection)):
        return others  # what is not the owner's it can't even look at
    return [
        *_drifted_roles(connection),
        *_drifted_memberships(connection),
        *_drifted_rights(connection, marts),
        *(_drifted_guards(connection, marts) if marts is not None else ()),
        *_drifted_objects(connection, of_marts=marts is not None),
    ]


def apply(connection: psycopg.Connection, settings: Settings, marts: list[Mart] | None) -> list[Drift]:
    """Make the server match, in the caller's transaction; what was mended.

    Raises UserError where something needs a hand with more rights than the owner's.
    """
    connection.execute("set local lock_timeout = '3s'")  # readers wait behind it
    sync(connection, settings)
    if marts is not None:
        metrics.show(connection, marts)
    mended: list[Drift] = []
    for _ in range(2):  # a right that was given twice, or hung on another, shows when the first is gone
        mended += _repair(connection, drift(connection, marts))
    if left := drift(connection, marts):
        raise UserError(
            f"the owner can't mend everything: {'; '.join(one.text for one in left[:5])}"
            f"{f' and {len(left) - 5} more' if len(left) > 5 else ''}: have a superuser undo it, and apply again"
        )
    return mended


def _repair(connection: psycopg.Connection, drifted: list[Drift]) -> Iterator[Drift]:
    """Mend what the owner can; what was mended."""
    for found in drifted:
        try:
            with connection.transaction():
                for statement in found.repair:
                    connection.execute(statement)
        except psycopg.errors.InsufficientPrivilege:
            continue
        if found.repair:
            yield found


def _of_others(connection: psycopg.Connection) -> Iterator[Drift]:
    for thing, owner in connection.execute(
        """
        with ours as (
            select oid from pg_namespace where nspname = any(%s)
        )
        select thing, pg_get_userbyid(owner)
        from (
            select 'schema ' || nspname, nspowner from pg_namespace where oid in (table ours)
            union all
            select format('%%I.%%I', relnamespace::regnamespace, relname), relowner
            from pg_class where relnamespace in (table ours) and relkind in ('r', 'p', 'v', 'm', 'S')
            union all
            select format('%%I.%%I()', pronamespace::regnamespace, proname), proowner
            from pg_proc where pronamespace in (table ours)
        ) as things (thing, owner)
        where pg_get_userbyid(owner) <> current_user
        """,
        [list(rights.SCHEMAS)],
    ):
        yield Drift(f"{thing} belongs to {owner}")


def _drifted_roles(connection: psycopg.Connection) -> Iterator[Drift]:
    database = connection.info.dbname
    limits = {duty_role(database, duty): matrix().limits_of(duty) for duty in matrix().duties}
    customers = {role for role, _ in _granted(connection) if _customer_of(database, role)}
    limits |= dict.fromkeys(customers, matrix().limits_of(None))
    rows = connection.execute(
        """
        select
            rolname, rolcanlogin, rolconnlimit,
            rolsuper or rolcreaterole or rolcreatedb or rolreplication or rolbypassrls,
            coalesce(rolvaliduntil, 'infinity') = 'infinity',
            (
                select coalesce(array_agg(setting order by setting), '{}')
                from pg_db_role_setting, unnest(setconfig) as setting
                where setrole = r.oid and setdatabase = 0
            ),
            array(
                select quote_ident(datname)
                from pg_db_role_setting join pg_database on pg_database.oid = setdatabase
                where setrole = r.oid
            )
        from pg_roles as r
        """
    ).fetchall()
    found = set()
    for role, can_login, connections, powers, unlimited, kept, databases in rows:
        if not _belongs(role, database):
            continue
        found.add(role)
        if powers:
            yield Drift(f"role {role} has powers of its own (superuser, createrole, bypassrls ...)")
        if role in limits:
            declared = sorted(f"{name}={value}" for name, value in limits[role].settings().items())
            in_databases = [
                sql.SQL(f"alter role {{}} in database {other} reset all").format(sql.Identifier(role))
                for other in databases
            ]
            mended = (*in_databases, *_limiting(role, limits[role]))
            if (connections, unlimited) != (limits[role].connections, True):
                yield Drift(f"login {role} has other limits", mended)
            if (kept, databases) != (declared, []):
                yield Drift(f"login {role} has other settings", mended, own=True)
            if not can_login:
                yield Drift(f"login {role} may not log in", (_statement("alter role {} login", role),))
        elif role in {group_role(database, group) for group in GROUPS}:
            if can_login:
                yield Drift(f"group {role} may log in", (_statement("alter role {} nologin", role),))
        else:
            yield Drift(
                f"role {role} was made by hand",
                (
                    _statement("grant {} to current_user with inherit true", role),
                    _statement("drop owned by {}", role),
                    _statement("drop role {}", role),
                ),
            )
    for role in sorted(limits.keys() - found):
        yield Drift(f"login {role} is missing")


def _drifted_memberships(connection: psycopg.Connection) -> Iterator[Drift]:
    database = connection.info.dbname
    granted = _granted(connection)
    standing = _memberships(connection, database)
    for role, member in sorted(standing.keys() | granted):
        becomes = _customer_of(database, role) is not None
        declared = {(becomes, not becomes)} if (role, member) in granted else set()
        ways = {(way.becomes, way.inherits) for way in standing.get((role, member), [])}
        if ways == declared and not any(way.administers for way in standing.get((role, member), [])):
            continue
        repair = [_statement("revoke {} from {} cascade", role, member)] if ways else []
        if declared:
            repair.append(_statement(f"grant {{}} to {{}} with {_how(database, role)}", role, member))
            yield Drift(f"{member} is not as it should be in {role}", tuple(repair))
        else:
            yield Drift(f"{member} is in {role}, by hand", tuple(repair))


def _drifted_rights(connection: psycopg.Connection, marts: list[Mart] | None) -> Iterator[Drift]:
    database = connection.info.dbname
    roles = {duty: duty_role(database, duty) for duty in matrix().duties}
    roles |= {f"reads {group}": group_role(database, group) for group in GROUPS}
    given, wanted = rights.given(connection), rights.wanted(connection, matrix(), roles, marts or ())
    for right in sorted(given - wanted):
        if marts is not None or not rights.of_marts(right):
            yield Drift(f"by hand: {right}", (right.revoke(),))
    for right in sorted(wanted - given):
        yield Drift(f"missing: {right}", (right.grant(),))


def _drifted_guards(connection: psycopg.Connection, marts: list[Mart]) -> Iterator[Drift]:
    for mart in (*marts, rights.STATISTIC):
        relation = f'{"usage" if mart.group == "usage" else "mart"}."{mart.name}"'
        unguarded = connection.execute(
            "select relation::text from access.unguarded(to_regclass(%s), %s, %s) as relation",
            [relation, mart.group, mart.day],
        ).fetchall()
        for (name,) in unguarded:
            yield Drift(
                f"the policies of {name} are not those of a {mart.group} mart",
                (
                    sql.SQL("select access.protect({}::regclass, {}, {})").format(
                        relation, mart.group, mart.day
                    ),
                ),
            )


def _drifted_objects(connection: psycopg.Connection, *, of_marts: bool) -> Iterator[Drift]:
    """What stands where callmart's own things stand and is not callmart's, or not as callmart made it."""
    rows = connection.execute(
        """
        with ours as (
            select oid from pg_namespace where nspname = any(%(schemas)s)
        )
        select 'function or view ' || object || ' is not as callmart made it', null
        from access.definition as was
        full join access.current_definition as now using (object)
        where
            was.definition is distinct from now.definition
            -- Of others' views among the marts nobody has rights.
            and (object not like 'mart.%%' or (%(of_marts)s and was.object is not null))
        union all
        select member::regrole || ' acts as ' || roleid::regrole || ', the owner', null
        from pg_auth_members
        where roleid = quote_ident(current_user)::regrole and (inherit_option or set_option)
        union all
        select
            'rule ' || rulename || ' on ' || ev_class::regclass || ' is not callmart''s',
            format('drop rule %%I on %%s', rulename, ev_class::regclass)
        from pg_rewrite join pg_class on pg_class.oid = ev_class
        where relnamespace in (table ours) and rulename <> '_RETURN'
        union all
        select 'publication ' || pubname || ' copies tables of callmart''s', null
        from pg_publication as p
        where
            puballtables
            or exists (
                select from pg_publication_rel join pg_class on pg_class.oid = prrelid
                where prpubid = p.oid and relnamespace in (table ours)
            )
            or exists (select from pg_publication_namespace where pnpubid = p.oid and pnnspid in (table ours))
        union all
        select
            'statistics ' || stxname || ' keep a sample of ' || stxrelid::regclass,
            format('drop statistics %%s.%%I', stxnamespace::regnamespace, stxname)
        from pg_statistic_ext join pg_class on pg_class.oid = stxrelid
        where relnamespace in (table ours)
        union all
        select
            'functions to come are open to everybody',
            'alter default privileges revoke execute on functions from public'
        where not exists (
            select from pg_default_acl
            where
                defaclrole = quote_ident(current_user)::regrole and defaclnamespace = 0 and defaclobjtype = 'f'
                and not exists (select from aclexplode(defaclacl) where grantee = 0)
        )
        union all
        select 'event trigger ' || evtname || ' is off', null
        from pg_event_trigger where evtname = 'refuse_definitions' and evtenabled <> 'O'
        union all
        select
            'trigger ' || tgname || ' on ' || tgrelid::regclass
            || case tgenabled when 'O' then ' is not callmart''s' else ' is off' end,
            case
                when tgname = 'append_only' then format('alter table %%s enable trigger %%I', tgrelid::regclass, tgname)
                else format('drop trigger %%I on %%s', tgname, tgrelid::regclass)
            end
        from pg_trigger join pg_class on pg_class.oid = tgrelid
        where
            relnamespace in (table ours) and not tgisinternal
            and (tgname <> 'append_only' or tgrelid <> 'ops.audit_log'::regclass or tgenabled <> 'O')
        union all
        select 'the audit log is not append-only: its trigger is gone', null
        where not exists (
            select from pg_trigger where tgname = 'append_only' and tgrelid = 'ops.audit_log'::regclass
        )
        union all
        select distinct 'view ' || reader.oid::regclass || ' reads ' || source.oid::regclass, null
        from pg_rewrite
        join pg_class as reader on reader.oid = ev_class
        join pg_depend on classid = 'pg_rewrite'::regclass and objid = pg_rewrite.oid
        join pg_class as source on refclassid = 'pg_class'::regclass and source.oid = refobjid
        where source.relnamespace in (table ours) and reader.relnamespace not in (table ours)
        union all
        select
            'parameter ' || parname || ' may be set by '
            || case grantee when 0 then 'everybody' else pg_get_userbyid(grantee) end,
            null
        from pg_parameter_acl, aclexplode(paracl)
        where grantee = 0 or starts_with(pg_get_userbyid(grantee), current_database() || '_')
        """,
        {"schemas": list(rights.SCHEMAS), "of_marts": of_marts},
    ).fetchall()
    for text, repair in rows:
        yield Drift(text, (sql.SQL(repair),) if repair else ())


# -- the catalogue ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Way:
    """How a member is in a role."""

    inherits: bool
    becomes: bool
    administers: bool


def _roles(connection: psycopg.Connection, database: str) -> set[str]:
    names = [name for (name,) in connection.execute("select rolname from pg_roles")]
    return {name for name in names if _belongs(name, database)}


def _memberships(connection: psycopg.Connection, database: str) -> dict[Membership, list[_Way]]:
    """Of roles of this database, as role or as member; not the owner's own, which administers them."""
    rows = connection.execute(
        """
        select r.rolname, m.rolname, inherit_option, set_option, admin_option
        from pg_auth_members
        join pg_roles as r on r.oid = roleid
        join pg_roles as m on m.oid = member
        where m.rolname <> current_user
        """
    ).fetchall()
    found: dict[Membership, list[_Way]] = {}
    for role, member, *way in rows:
        if _belongs(role, database) or _belongs(member, database):
            found.setdefault((role, member), []).append(_Way(*way))
    return found


def _belongs(role: str, database: str) -> bool:
    """Whether a role is of this database, and not of another whose name begins like it."""
    own = "|".join((f"reads_({'|'.join(GROUPS)})", "customer_[0-9]+", *matrix().duties))
    return re.fullmatch(f"{re.escape(database)}_({own})", role) is not None


def _customer_of(database: str, role: str) -> int | None:
    found = re.fullmatch(f"{re.escape(database)}_customer_([0-9]+)", role)
    return int(found[1]) if found else None


def _statement(text: str, *names: str) -> sql.Composed:
    return sql.SQL(text).format(*map(sql.Identifier, names))


def _execute(connection: psycopg.Connection, text: str, *names: str) -> None:
    connection.execute(_statement(text, *names))


# -- connections -----------------------------------------------------------------------------------------------


def passfile(home: Path, role: str) -> Path:
    """Where the password of a login stands, in libpq's own format."""
    return home / "secrets" / f"{role}.pgpass"


def password(settings: Settings, role: str) -> str:
    """The password of a login, out of its file; UserError where there is none."""
    try:
        return passfile(settings.home, role).read_text().rstrip("\n").rpartition(":")[2]
    except FileNotFoundError:
        raise UserError(f"there is no password of login {role}; run `callmart access apply`") from None


def login_uri(settings: Settings, role: str) -> str:
    """The libpq URI of a customer's or a duty's login; the password stands in the file it names."""
    own = conninfo_to_dict(server.uri(settings))
    kept = {key: str(own[key]) for key in ("host", "port", "sslmode", "sslrootcert") if own.get(key)}
    kept["passfile"] = str(passfile(settings.home, role))
    return _as_uri(role, str(own["dbname"]), kept)


def duty_uri(settings: Settings, duty: str) -> str:
    """The libpq URI of a duty's login; UserError where access.yml has no such duty."""
    if duty not in matrix().duties:
        raise UserError(f"access.yml has no duty {duty}; name one of {', '.join(matrix().duties)}")
    database = str(conninfo_to_dict(server.uri(settings))["dbname"])
    return login_uri(settings, duty_role(database, duty))


def connect(settings: Settings, duty: str) -> psycopg.Connection:
    """A connection of a duty's login; UserError where it is refused."""
    try:
        return psycopg.connect(duty_uri(settings, duty), application_name="callmart")
    except psycopg.OperationalError:
        raise UserError(
            f"the login of the {duty} is refused: run `callmart access apply`, and then this again"
        ) from None


def _as_uri(user: str, database: str, parameters: dict[str, str]) -> str:
    query = "&".join(f"{key}={quote(value, safe='/')}" for key, value in parameters.items())
    return f"postgresql://{quote(user, safe='')}@/{quote(database, safe='')}?{query}"


def owner_uri(settings: Settings) -> str:
    """The owner's libpq URI; a password that CALLMART_DSN holds stands in the file that the URI names instead."""
    own = conninfo_to_dict(server.uri(settings))
    user, database, password = str(own.pop("user")), str(own.pop("dbname")), own.pop("password", None)
    if password is not None:
        secret_file(passfile(settings.home, user), f"*:*:*:{user}:{password}\n")
        own["passfile"] = str(passfile(settings.home, user))
    return _as_uri(user, database, {key: str(value) for key, value in own.items()})


def customer_uri(connection: psycopg.Connection, settings: Settings, customer_id: int) -> str:
    """The URI of a customer's login; UserError where no contract opens anything today."""
    found = connection.execute(
        "select 1 from registry.current_option where customer_id = %s", [customer_id]
    ).fetchone()
    if found is None:
        raise UserError(
            f"customer {customer_id} has no contract today, so there is no login; "
            "add one to the registry and apply it"
        )
    return login_uri(settings, customer_role(connection.info.dbname, customer_id))
