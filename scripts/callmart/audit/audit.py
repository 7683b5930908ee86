"""Makes the audit.

It looks at every customer, mart and channel, makes every attack as every login, and compares the tables with the
contracts and the floor. A check that had nothing to look at fails, because it proves nothing. The audit changes
nothing, and its result has no data of customers: only customer numbers, names of marts and reports, and shortened
addresses.
"""

from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version

import psycopg

from callmart.access import logins
from callmart.audit import (
    agents,
    attacking,
    cells,
    channels,
    environments,
    inference,
    ledger,
    limits,
    names,
    objectors,
    on_tableau,
    options,
    pages,
    persons,
    recomputed,
    requests,
    stored,
    tables,
)
from callmart.audit.channels import CHANNELS, Board, Cell
from callmart.audit.check import Check
from callmart.audit.on_tableau import Published
from callmart.audit.scene import Scene, attackers, scene_of
from callmart.base.errors import UserError
from callmart.base.progress import OnStep
from callmart.base.settings import Settings
from callmart.database import clock, server
from callmart.publish import tableau


@dataclass(frozen=True)
class Audit:
    """The result of an audit."""

    at: datetime
    versions: dict[str, str]
    customers: int
    cells: tuple[Cell, ...]
    checks: tuple[Check, ...]
    # Users who see customers' content because of their position: how many per position.
    persons: dict[str, int]

    @property
    def failed(self) -> list[Check]:
        """The checks that failed."""
        return [check for check in self.checks if not check.good]


def audit(connection: psycopg.Connection, settings: Settings, on_step: OnStep) -> Audit:
    """Make all checks and attacks. Changes nothing. The connection is the owner's.

    `on_step(stage, item, finished, of)` reports progress.
    """
    scene = scene_of(connection, settings)
    board = channels.board(connection, scene)
    connection.rollback()
    # The audit has no password of those that choose their own; their rights are compared.
    unknown = logins.typed(scene.database)
    everybody = [one for one in attackers(scene) if one.role not in unknown]
    with server.connect(settings, autocommit=True) as owner:
        attacked = attacking.attack_as_each(owner, settings, scene, board, everybody, on_step)
        inferred = list(inference.checks(owner, settings, scene, on_step))
    matrix = attacked.cells
    matrix += cells.of_publisher_and_files(settings, scene, board, everybody, on_step)
    of_tableau = _tableau(connection, settings, board, on_step)
    matrix += of_tableau.cells
    on_step("look", "at tables and rights", 0, 1)
    checks = [
        *attacked.logins,
        *cells.of_cells(settings, board, matrix),
        cells.of_files(settings, board),
        *of_tableau.checks,
        *attacked.checks,
        names.of_names(connection, settings, scene),
        *inferred,
        *_looks(connection, settings, scene, board, of_tableau),
    ]  # fmt: skip
    connection.rollback()
    on_step("look", "", 1, 1)
    return Audit(
        at=clock.now(connection).astimezone(settings.zone),
        versions=_versions(connection),
        customers=len(board.customers),
        cells=tuple(
            sorted(matrix, key=lambda cell: (cell.customer_id, cell.mart, CHANNELS.index(cell.channel)))
        ),
        checks=tuple(checks),
        persons=of_tableau.persons,
    )


def _looks(
    connection: psycopg.Connection, settings: Settings, scene: Scene, board: Board, of_tableau: Published
) -> list[Check]:
    """What is looked at as the owner: rights, limits, tables, words in files, books, pages, persons."""
    of_extracts, is_kept = agents.in_extracts(settings, scene), settings.tableau.keeps_extracts
    return [
        *tables.of_rights(connection, settings, scene),
        tables.of_surroundings(connection, settings),
        *limits.of_limits(connection, settings),
        *tables.of_tables(connection, settings, scene),
        options.of_orders(connection),
        options.of_agents(connection, scene),
        *tables.of_usage(connection),
        agents.of_marts(connection, scene),
        agents.of_files(connection, settings, scene, "extracts", of_extracts, is_kept=is_kept),
        agents.of_files(connection, settings, scene, "Tableau", of_tableau.words, is_kept=False),
        objectors.of_marts(connection),
        objectors.of_files(connection, "extracts", of_extracts),
        objectors.of_files(connection, "Tableau", of_tableau.words),
        *tables.of_books(connection, board),
        tables.sealed(connection, settings),
        recomputed.of_days(connection, settings),
        stored.of_words(connection),
        stored.of_events(connection),
        pages.of_pages(settings),
        pages.of_owners(connection, settings),
        pages.of_contracts(connection, settings),
        environments.of_environments(connection, settings),
        ledger.of_ledger(connection, settings),
        requests.of_requests(connection),
        requests.of_packages(connection, settings),
        persons.of_places(connection, settings),
        persons.of_erasure(connection, settings),
        persons.of_returned(connection, settings),
    ]  # fmt: skip


def _versions(connection: psycopg.Connection) -> dict[str, str]:
    number = connection.info.server_version
    return {
        "callmart": version("callmart"),
        "PostgreSQL": f"{number // 10000}.{number % 10000}",
        "dbt": version("dbt-core"),
        "Great Expectations": version("great_expectations"),
        "Tableau Server Client": version("tableauserverclient"),
    }


def _tableau(connection: psycopg.Connection, settings: Settings, board: Board, on_step: OnStep) -> Published:
    """What is on Tableau. If it can't be told, the result is a check that looked at nothing."""
    try:
        with tableau.at_sites(settings) as at:
            return on_tableau.look(connection, settings, at, board, on_step)
    except UserError as error:
        check = Check("Tableau", "its content can be read", 0, 0, (str(error),))
        return Published((), (check,), {}, agents.Words())
