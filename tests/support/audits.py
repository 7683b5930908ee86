"""Audits that leave out what takes most of their time, for tests that are about something else; and what somebody has
done on Tableau.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch
from zipfile import ZipFile

import tableauserverclient as TSC

from callmart.audit import attacking, inference, recomputed
from callmart.audit.attacks import ATTACKS
from callmart.audit.attacks.attack import Aim
from callmart.audit.check import Check
from callmart.publish import tableau
from callmart.publish.holdings import Held, forget_revisions
from callmart_home import Callmart


@contextmanager
def infers_nothing(*instead: Check) -> Iterator[None]:
    """The audit asks nothing of plans, estimates and times, and computes no day anew: test_inference and
    test_recomputed do. It has these checks instead.
    """
    computed = Check("quality", recomputed.NAME, 1, 0)
    with (
        patch.object(inference, "checks", lambda *_: instead),
        patch.object(recomputed, "of_days", lambda *_: computed),
    ):
        yield


@contextmanager
def attacks_at(*aims: Aim) -> Iterator[None]:
    """The audit makes only the attacks that have these aims. Most of the time of all goes into writing to each table as
    each login.
    """
    with patch.object(attacking, "ATTACKS", [attack for attack in ATTACKS if attack.aim in aims]):
        yield


@contextmanager
def attacks_of(*families: str) -> Iterator[None]:
    """The audit makes only the attacks of these families."""
    with patch.object(attacking, "ATTACKS", [attack for attack in ATTACKS if attack.family in families]):
        yield


@contextmanager
def attacks_nothing() -> Iterator[None]:
    """The audit looks, and neither attacks nor infers."""
    with attacks_at(), infers_nothing():
        yield


@contextmanager
def done(callmart: Callmart, change: str, undo: str) -> Iterator[None]:
    """A change by the superuser, and its end."""
    for statement in (change, undo):
        with callmart.superuser() as superuser:
            superuser.execute(statement)
        if statement == change:
            yield


@contextmanager
def on_tableau(callmart: Callmart, customer: int) -> Iterator[tuple[TSC.Server, TSC.ProjectItem]]:
    """The project of a customer on the emulator, as a person with the rights finds it."""
    with tableau.connect(callmart.settings) as tableau_server:
        projects = [
            each for each in TSC.Pager(tableau_server.projects) if each.name.startswith(f"{customer} ")
        ]
        assert len(projects) == 1
        yield tableau_server, projects[0]


def put_on_tableau(
    callmart: Callmart, customer: int, name: str, file: Path, change: tuple[bytes, bytes] = (b"", b"")
) -> None:
    """Give a data source of a customer another extract and definition, and let its tag say that all is well."""
    with on_tableau(callmart, customer) as (tableau_server, project):
        sources = [each for each in TSC.Pager(tableau_server.datasources) if each.project_id == project.id]
        (source,) = (each for each in sources if each.name == name)
        tags = set(source.tags)
        package = Path(tableau_server.datasources.download(source.id, str(file.with_suffix(".tdsx"))))
        with ZipFile(package) as packed:
            extract_, definition = packed.namelist()
            xml = packed.read(definition)
        with ZipFile(package, "w") as packed:
            packed.write(file, extract_)
            packed.writestr(definition, xml.replace(*change))
        source = tableau_server.datasources.publish(
            source, str(package), tableau_server.PublishMode.Overwrite
        )
        package.unlink()
        tableau_server.datasources.add_tags(source, tags)
        forget_revisions(Held(tableau_server.datasources, source, "data sources"))
