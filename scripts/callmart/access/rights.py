"""Rights: those that the role matrix and the marts' YAML declare, those that the catalogue has, and the statements that
grant and revoke them.

All rights on objects in callmart's schemas, or of its owner, are compared, except the owner's own rights.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import psycopg
from psycopg import sql

from callmart.access import roles
from callmart.base import sql_file
from callmart.base.errors import UserError
from callmart.base.matrix import FILE, USAGE, matrix, split
from callmart.declarations.mart import Column, Mart
from callmart.declarations.metrics import has_ratios, view_of

SQL = sql_file.statements(__file__)

SCHEMAS = ("registry", "raw", "build", "store", "mart", "usage", "access", "ops", "privacy")
SHARING_FUNCTIONS = ("own", "current_customer")  # in the policies of tables that duties read, too
POLICY_FUNCTIONS = (*SHARING_FUNCTIONS, "retention_floor")
# The statistic over all customers. It has no customer, so it is not opened or extracted like the marts in `store`.
STATISTIC = Mart(
    name="function_month",
    group=USAGE,
    key=("month", "function"),
    day=None,
    declared=(
        Column(name="month", data_type="date"),
        Column(name="function", data_type="text", person="nobody"),
        Column(name="uses", data_type="bigint", person="nobody"),
    ),
)

# The kinds of objects that default privileges are for, as ALTER DEFAULT PRIVILEGES names them.
DEFAULTS = {"r": "tables", "S": "sequences", "f": "functions", "T": "types", "n": "schemas"}


@dataclass(frozen=True, order=True)
class Right:
    """A privilege of a role on an object, or on its column `part`. Names are as in SQL; the role '' is public."""

    kind: str
    object: str
    part: str
    role: str
    privilege: str
    grantable: bool = False

    def grant(self) -> sql.SQL:
        """The statement that grants it."""
        return self._statement("grant", "to")

    def revoke(self) -> sql.SQL:
        """The statement that revokes it, and also from those to whom its holder granted it."""
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
        # All names come quoted from the catalogue, or from the matrix, which allows only plain names.
        return sql.SQL(f"{verb} {what} on {where} {preposition} {role}{ending}")

    def __str__(self) -> str:
        how = " with grant option" if self.grantable else ""
        return f"{self.revoke().as_string().removeprefix('revoke ').removesuffix(' cascade')}{how}"


def given(connection: psycopg.Connection) -> set[Right]:
    """The rights that the catalogue has."""
    return {Right(*row) for row in connection.execute(SQL["given"], {"schemas": list(SCHEMAS)})}


def wanted(connection: psycopg.Connection, marts: Iterable[Mart]) -> set[Right]:
    """The rights that the matrix and the marts declare. Raises UserError if the matrix names an object that does not
    exist.
    """
    database = connection.info.dbname
    duties = {name: roles.duty_role(database, name) for name in matrix().duties}
    readers = {group: roles.group_role(database, group) for group in roles.groups()}
    catalogue = _catalogue(connection)
    rights: set[Right] = set()
    for name, role in duties.items():
        duty = matrix().duties[name]
        rights.update(_of_duty(catalogue, role, name, "SELECT", duty.select))
        rights.update(_of_duty(catalogue, role, name, "INSERT", duty.insert))
        for function in duty.execute:
            rights.update(_execute(catalogue, role, name, *function.split(".")))
        for function in SHARING_FUNCTIONS:
            rights.update(_execute(catalogue, role, name, "access", function))
    for group, role in readers.items():
        schema = USAGE if group == USAGE else "mart"
        rights.add(Right("schema", schema, "", role, "USAGE"))
        if group != USAGE:
            for function in POLICY_FUNCTIONS:
                rights.update(_execute(catalogue, role, group, "access", function))
            showing = roles.showing_role(database, group)
            rights.add(Right("schema", "store", "", showing, "USAGE"))
            rights.update(
                Right("table", mart.table, "", showing, "SELECT")
                for mart in marts
                if mart.group == group and mart.table in catalogue.relations
            )
        rights.update(
            Right("table", relation, "", role, "SELECT")
            for mart in (*marts, STATISTIC)
            if mart.group == group
            for relation in shown_in(mart)
            if relation in catalogue.relations
        )
    for view, group in connection.execute(SQL["ratios"]):  # also those that the next opening removes
        rights.add(Right("table", view, "", readers[group], "SELECT"))
    for view, group, relation, column in _read_by_views(connection):
        rights.add(Right("table", view, "", readers[group], "SELECT"))
        showing = roles.showing_role(database, group)
        rights.add(Right("table", relation, column, showing, "SELECT"))
    if catalogue.owns_database:
        connecting = (*duties.values(), *readers.values())
        rights.update(Right("database", catalogue.database, "", role, "CONNECT") for role in connecting)
    return rights


def shown_in(mart: Mart) -> list[str]:
    """The relations that readers of the mart see: its view, and the view of its ratios if it has some."""
    of_ratios = [f"mart.{view_of(mart)}"] if mart.ratios or has_ratios(mart) else []
    return [mart.shown_as, *of_ratios]


def shared(connection: psycopg.Connection) -> dict[str, str]:
    """The views for customers that read no mart, each with its group."""
    return {view: group for view, group, *_ in _read_by_views(connection)}


def _read_by_views(connection: psycopg.Connection) -> list[tuple[str, str, str, str]]:
    return connection.execute(SQL["shared"]).fetchall()


def of_marts(right: Right) -> bool:
    """Whether a right is on a mart. It can be compared only with the marts' YAML."""
    return right.kind == "table" and right.object.split(".")[0] in ("store", "mart", "usage")


@dataclass(frozen=True)
class _Catalogue:
    """The objects that rights can be granted on: columns by relation, and signatures by function."""

    database: str
    owns_database: bool
    relations: dict[str, list[str]]
    functions: dict[str, list[str]]


def _catalogue(connection: psycopg.Connection) -> _Catalogue:
    database, owns = connection.execute(
        "select quote_ident(datname), pg_get_userbyid(datdba) = current_user from pg_database"
        " where datname = current_database()"
    ).fetchall()[0]
    ours = {"schemas": list(SCHEMAS)}
    relations = connection.execute(SQL["relations"], ours).fetchall()
    functions = connection.execute(SQL["functions"], ours).fetchall()
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
