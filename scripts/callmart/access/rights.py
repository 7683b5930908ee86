"""Rights: what the role matrix and the marts' YAML give, what the catalogue says is given, and the way between.

Compared are all rights on what stands in callmart's schemas or belongs to its owner, except the owner's own.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import psycopg
from psycopg import sql

from callmart.access.roles import showing_role
from callmart.base.errors import UserError
from callmart.declarations.dbt_project import Column, Mart
from callmart.declarations.matrix import FILE, Matrix, split
from callmart.declarations.metrics import VIEWS

SCHEMAS = ("registry", "raw", "build", "store", "mart", "usage", "access", "ops")
POLICY_FUNCTIONS = ("own", "current_customer", "retention_floor")
# The one statistic over all customers: no customer's, so no store, and none of the marts that are opened and extracted.
STATISTIC = Mart(
    name="function_month",
    group="usage",
    key=("month", "function"),
    day=None,
    declared=(
        Column(name="month", data_type="date"),
        Column(name="function", data_type="text", person="nobody"),
        Column(name="uses", data_type="bigint", person="nobody"),
    ),
)

GIVEN = """
with objects (kind, object, part, owner, acl) as (
    select 'database', quote_ident(datname), '', datdba, coalesce(datacl, acldefault('d', datdba))
    from pg_database
    where datname = current_database() and pg_get_userbyid(datdba) = current_user
    union all
    select 'schema', quote_ident(nspname), '', nspowner, coalesce(nspacl, acldefault('n', nspowner))
    from pg_namespace
    where nspname = any(%(schemas)s)
    union all
    select
        case relkind when 'S' then 'sequence' else 'table' end,
        format('%%I.%%I', nspname, relname), '', relowner,
        coalesce(relacl, acldefault(case relkind when 'S' then 's' else 'r' end::"char", relowner))
    from pg_class join pg_namespace on pg_namespace.oid = relnamespace
    where
        relkind in ('r', 'p', 'v', 'm', 'S', 'f')
        and (nspname = any(%(schemas)s) or pg_get_userbyid(relowner) = current_user)
        and nspname !~ '^pg_t'
    union all
    select 'table', format('%%I.%%I', nspname, relname), quote_ident(attname), relowner, attacl
    from pg_attribute
    join pg_class on pg_class.oid = attrelid
    join pg_namespace on pg_namespace.oid = relnamespace
    where
        attacl is not null
        and (nspname = any(%(schemas)s) or pg_get_userbyid(relowner) = current_user)
    union all
    select
        'function', format('%%I.%%I(%%s)', nspname, proname, pg_get_function_identity_arguments(pg_proc.oid)), '',
        proowner, coalesce(proacl, acldefault('f', proowner))
    from pg_proc join pg_namespace on pg_namespace.oid = pronamespace
    where
        (nspname = any(%(schemas)s) or pg_get_userbyid(proowner) = current_user)
        and nspname !~ '^pg_t'
    union all
    select 'default', coalesce(quote_ident(nspname), ''), defaclobjtype::text, defaclrole, defaclacl
    from pg_default_acl left join pg_namespace on pg_namespace.oid = defaclnamespace
    where pg_get_userbyid(defaclrole) = current_user
)
select
    kind, object, part, case grantee when 0 then '' else pg_get_userbyid(grantee) end, privilege_type, is_grantable
from objects, aclexplode(acl)
where grantee <> owner
"""

# What a default right is for, as ALTER DEFAULT PRIVILEGES names it.
DEFAULTS = {"r": "tables", "S": "sequences", "f": "functions", "T": "types", "n": "schemas"}


@dataclass(frozen=True, order=True)
class Right:
    """A privilege of a role on an object (or a column of it: `part`), as SQL writes them; the role '' is everybody."""

    kind: str
    object: str
    part: str
    role: str
    privilege: str
    grantable: bool = False

    def grant(self) -> sql.SQL:
        """The statement that gives it."""
        return self._statement("grant", "to")

    def revoke(self) -> sql.SQL:
        """The statement that takes it away, and what its holder gave to others."""
        return self._statement("revoke", "from")

    def _statement(self, verb: str, preposition: str) -> sql.SQL:
        role = sql.Identifier(self.role).as_string() if self.role else "public"
        what, where, ending = self.privilege, f"{self.kind} {self.object}", ""
        if self.kind == "default":
            verb = f"alter default privileges {f'in schema {self.object} ' if self.object else ''}{verb}"
            where = DEFAULTS[self.part]
        elif self.part:
            what = f"{what} ({self.part})"
        if preposition == "from":
            ending = " cascade"
        # Of the catalogue or the matrix, quoted by both.
        return sql.SQL(f"{verb} {what} on {where} {preposition} {role}{ending}")

    def __str__(self) -> str:
        how = " with grant option" if self.grantable else ""
        return f"{self.revoke().as_string().removeprefix('revoke ').removesuffix(' cascade')}{how}"


def given(connection: psycopg.Connection) -> set[Right]:
    """What the catalogue says."""
    return {Right(*row) for row in connection.execute(GIVEN, {"schemas": list(SCHEMAS)})}


def wanted(
    connection: psycopg.Connection, matrix: Matrix, roles: dict[str, str], marts: Iterable[Mart]
) -> set[Right]:
    """What the matrix and the marts give. `roles` names the role of each duty, and of each group as `reads <group>`."""
    catalogue = _catalogue(connection)
    rights: set[Right] = set()
    for name, duty in matrix.duties.items():
        rights.update(_of_duty(catalogue, roles[name], name, "SELECT", duty.select))
        rights.update(_of_duty(catalogue, roles[name], name, "INSERT", duty.insert))
        for function in duty.execute:
            rights.update(_execute(catalogue, roles[name], name, *function.split(".")))
    for group, role in ((key.removeprefix("reads "), role) for key, role in roles.items() if " " in key):
        schema = "usage" if group == "usage" else "mart"
        rights.add(Right("schema", schema, "", role, "USAGE"))
        if group != "usage":
            for function in POLICY_FUNCTIONS:
                rights.update(_execute(catalogue, role, group, "access", function))
            showing = showing_role(connection.info.dbname, group)
            rights.add(Right("schema", "store", "", showing, "USAGE"))
            rights.update(
                Right("table", f"store.{mart.name}", "", showing, "SELECT")
                for mart in marts
                if mart.group == group and f"store.{mart.name}" in catalogue.relations
            )
        rights.update(
            Right("table", relation, "", role, "SELECT")
            for mart in (*marts, STATISTIC)
            if mart.group == group
            for relation in shown_in(mart)
            if relation in catalogue.relations
        )
    if catalogue.owns_database:
        rights.update(Right("database", catalogue.database, "", role, "CONNECT") for role in roles.values())
    return rights


def shown_in(mart: Mart) -> list[str]:
    """The relations in which the mart's group sees it: a view of it, and the view of its ratios."""
    schema = "usage" if mart.group == "usage" else "mart"
    return [f"{schema}.{mart.name}", *(f"{schema}.{VIEWS[name].name}" for name in VIEWS if name == mart.name)]


def of_marts(right: Right) -> bool:
    """Whether a right is one on a mart, which needs the marts' YAML to be judged."""
    return right.kind == "table" and right.object.split(".")[0] in ("store", "mart", "usage")


@dataclass(frozen=True)
class _Catalogue:
    """What there is to give rights on; columns by relation, signatures by function."""

    database: str
    owns_database: bool
    relations: dict[str, list[str]]
    functions: dict[str, list[str]]


def _catalogue(connection: psycopg.Connection) -> _Catalogue:
    database, owns = connection.execute(
        "select quote_ident(datname), pg_get_userbyid(datdba) = current_user from pg_database"
        " where datname = current_database()"
    ).fetchall()[0]
    relations = connection.execute(
        """
        select format('%%I.%%I', nspname, relname), array_agg(quote_ident(attname))
        from pg_class
        join pg_namespace on pg_namespace.oid = relnamespace
        left join pg_attribute on attrelid = pg_class.oid and attnum > 0 and not attisdropped
        where nspname = any(%s) and relkind in ('r', 'p', 'v', 'm', 'f')
        group by 1
        """,
        [list(SCHEMAS)],
    ).fetchall()
    functions = connection.execute(
        """
        select
            format('%%I.%%I', nspname, proname),
            array_agg(format('%%I.%%I(%%s)', nspname, proname, pg_get_function_identity_arguments(pg_proc.oid)))
        from pg_proc join pg_namespace on pg_namespace.oid = pronamespace
        where nspname = any(%s)
        group by 1
        """,
        [list(SCHEMAS)],
    ).fetchall()
    return _Catalogue(database, owns, dict(relations), dict(functions))


def _of_duty(
    catalogue: _Catalogue, role: str, duty: str, privilege: str, written: Iterable[str]
) -> Iterator[Right]:
    for entry in written:
        schema, name, columns = split(entry)
        yield Right("schema", schema, "", role, "USAGE")
        if name == "*":
            yield Right("default", schema, "r", role, privilege)
            for relation in catalogue.relations:
                if relation.startswith(f"{schema}."):
                    yield Right("table", relation, "", role, privilege)
            continue
        relation = f"{schema}.{name}"
        missing = set(columns) - set(catalogue.relations.get(relation, []))
        if relation not in catalogue.relations or missing:
            raise UserError(f"{FILE}: duty {duty} names {entry}, which does not exist; correct it there")
        for column in columns or ("",):
            yield Right("table", relation, column, role, privilege)


def _execute(catalogue: _Catalogue, role: str, duty: str, schema: str, function: str) -> Iterator[Right]:
    yield Right("schema", schema, "", role, "USAGE")
    if f"{schema}.{function}" not in catalogue.functions:
        raise UserError(
            f"{FILE}: duty {duty} names {schema}.{function}, which does not exist; correct it there"
        )
    for signature in catalogue.functions[f"{schema}.{function}"]:
        yield Right("function", signature, "", role, "EXECUTE")
