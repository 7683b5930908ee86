"""`callmart access`: who may do what in the database."""

from typing import Annotated

import typer

from callmart.access import changing_logins, drift, logins, memberships, roles
from callmart.base.counting import several
from callmart.base.errors import UserError
from callmart.base.settings import settings
from callmart.cli.terminal import (
    UNDONE,
    Json,
    database,
    end_with,
    looking,
    out,
    plain,
    print_json,
    secret,
)
from callmart.database.lock import exclusive

app = typer.Typer(help="Who may do what in the database: access.yml.", no_args_is_help=True)


@app.command("diff")
def access_diff(as_json: Json = False) -> None:
    """Show where the server differs from access.yml, the marts' YAML and the contracts."""
    from callmart.declarations import dbt_project

    with looking(tells=True) as connection:
        found = [one.text for one in drift.find(connection, dbt_project.marts(settings()))]
        found += [f"login {role} has another password" for role in logins.refused(connection, settings())]
    if as_json:
        print_json(found)
    else:
        for text in found:
            out.print(plain(text))
        out.print(f"access: {several(len(found), 'difference')}")
    raise typer.Exit(UNDONE if found else 0)


@app.command("apply")
def apply() -> None:
    """Make the server match access.yml, the marts' YAML and the contracts. Rights that they don't give are revoked."""
    from callmart.declarations import dbt_project, mart_tables

    with database() as connection, exclusive(connection):
        marts = dbt_project.marts(settings())
        renewed = logins.refused(connection, settings())
        applied = memberships.apply(connection, settings(), marts)
        stuck = changing_logins.renew(connection, settings(), renewed)
        if renewed:
            changing_logins.note_applied(connection, 0, len(renewed) - len(stuck))
        connection.commit()
        left = [
            mart_tables.remark(connection, mart, marts) for mart in mart_tables.undeclared(connection, marts)
        ]
    for one in applied.mended:
        out.print(plain(one.text))
    out.print(
        f"access: {several(len(applied.mended), 'difference')} corrected, "
        f"{several(len(renewed) - len(stuck), 'password')} renewed"
    )
    end_with([*left, *applied.problems, *stuck.values()])


@app.command("rotate")
def access_rotate(
    customer: Annotated[int | None, typer.Option(min=1, help="The login of this customer.")] = None,
    duty: Annotated[str | None, typer.Option(help="The login of this duty of access.yml.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every login.")] = False,
) -> None:
    """Give logins new passwords, and end their sessions. Prints the file of each password; only you can read it. Where
    access.yml says that a person types the password, it asks for the new one instead.
    """
    if (customer is not None) + (duty is not None) + every != 1:
        raise UserError("whose password? name one of --customer, --duty and --all")
    with database() as connection:
        if duty is not None and (role := roles.duty_role(connection.info.dbname, duty)) in logins.typed(
            connection.info.dbname
        ):
            password = secret(f"new password of the {duty}", twice=True)
            if left := changing_logins.choose_password(connection, role, password):
                end_with([left])
            out.print(f"access: the {duty} has a new password, and no file has it")
            return
        known = logins.known(connection)
        if customer is not None:
            chosen = [roles.customer_role(connection.info.dbname, customer)]
        elif duty is not None:
            chosen = [roles.duty_role(connection.info.dbname, duty)]
        else:
            chosen = known
        if unknown := set(chosen) - set(known):
            asked = f"--customer {customer}" if duty is None else f"--duty {duty}"
            raise UserError(f"there is no login {unknown.pop()}: `callmart dsn {asked}` says what to do")
        stuck = changing_logins.renew(
            connection, settings(), chosen, lambda role: print(logins.passfile(settings().home, role))
        )
        changing_logins.note_applied(connection, 0, len(chosen) - len(stuck))
        connection.commit()
    end_with(stuck.values())
