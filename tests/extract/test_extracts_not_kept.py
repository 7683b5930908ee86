"""Where files are not kept: an extract leaves the disk when Tableau has it, and is made again if Tableau loses it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import tableauserverclient as TSC
from pydantic import SecretStr

from callmart.base.progress import quietly
from callmart.base.settings import Tableau
from callmart.declarations import data_through, dbt_project
from callmart.extract import extract
from callmart.operations import run, stages
from callmart.publish import applying, sites, tableau
from callmart.tableau_files import tds
from callmart_home import Callmart
from centre import ANONYMOUS, FILES, NAMED, STANDARD, touch
from tableau_emulator import client, faults
from tableau_emulator.state import State

pytestmark = [pytest.mark.thorough, pytest.mark.dated, pytest.mark.usefixtures("unchecked")]


@dataclass
class Away:
    """The same customers, and a Tableau server elsewhere on which everything is published."""

    callmart: Callmart
    folder: Path

    def deliver(self) -> stages.Ran:
        """Extract and publish, as every night."""
        ran = stages.Ran()
        with self.callmart.connect() as connection:
            run.deliver(connection, self.callmart.settings, ran, quietly)
        return ran

    def publish(self, on_step: Callable[..., None] = quietly) -> list[applying.Outcome]:
        """Publish alone."""
        settings = self.callmart.settings
        with self.callmart.connect() as connection, tableau.at_sites(settings) as at:
            plans = sites.plan(sites.read(connection, settings, at))
            return sites.apply(connection, settings, at, plans, on_step)

    def queues(self) -> dict[str, TSC.DatasourceItem]:
        """Everybody's data source of queues, by project."""
        with tableau.connect(self.callmart.settings) as server:
            found = list(TSC.Pager(server.datasources))
        return {source.project_name: source for source in found if source.name == "Wachtrijen"}

    def lose(self, project: str) -> None:
        """Somebody deletes it by hand."""
        with tableau.connect(self.callmart.settings) as server:
            server.datasources.delete(self.queues()[project].id)

    @property
    def on_disk(self) -> list[str]:
        """All that holds rows, and folders where some could be."""
        return sorted(
            str(path.relative_to(extract.folder(self.callmart.settings)))
            for path in extract.folder(self.callmart.settings).rglob("*")
        )


NAMED_S, STANDARD_S = f"{NAMED} Voorbeeld", f"{STANDARD} Fietsen"


@pytest.fixture(scope="module")
def away(played: Callmart, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Away]:
    played.build_unchecked()  # days that other tests marked would hold the mail back
    folder = tmp_path_factory.mktemp("elsewhere")
    with client.served(folder) as emulator:
        server = Tableau(server=emulator.url, token_name=emulator.token_name, token=SecretStr(emulator.token))
        away = Away(Callmart(played.settings.model_copy(update={"tableau": server})), folder)
        with pytest.MonkeyPatch.context() as patch:
            patch.delattr(tds, "held_types")  # what was just written is not opened to be published
            assert away.deliver().problems == []
        yield away


def test_what_is_published_is_not_on_disk_and_not_made_again(away: Away) -> None:
    assert away.on_disk == []
    assert not [*away.callmart.home.rglob("*.hyper"), *away.callmart.home.rglob("*.tdsx")]
    assert away.queues().keys() == {NAMED_S, f"{ANONYMOUS} Zorgpunt", STANDARD_S}
    hashes = "select customer_id, mart_group, file_hash from ops.extract order by 1, 2"
    published = away.callmart.rows(hashes)
    with away.callmart.connect() as owner:
        touch(owner)  # the rows are read again, and are the same
    ran = away.deliver()
    assert away.callmart.rows(hashes) == published, "the audit compares what is on Tableau with them"
    assert (ran.extracts, ran.extracts_written, ran.published_changes, ran.problems) == (len(FILES), 0, 0, [])
    assert away.on_disk == []


def test_what_a_crash_left_after_publishing_goes(away: Away) -> None:
    """Killed when Tableau has it and the disk still does."""
    rows = away.callmart.rows(
        "select content_hash as hash from ops.extract where customer_id = %s and mart_group = 'queue'",
        STANDARD,
    )
    marts = data_through.tables(dbt_project.marts(away.callmart.settings), "queue")
    extract.restore(away.callmart.settings, STANDARD, "queue", marts, rows[0]["hash"])
    assert away.on_disk == [str(STANDARD), f"{STANDARD}/queue.hyper"]
    assert [outcome.done for outcome in away.publish()] == [(), (), ()]
    assert away.on_disk == []


def test_what_tableau_lost_is_made_again_by_publishing_alone(away: Away) -> None:
    before, standing = away.queues(), {}
    away.lose(NAMED_S)
    outcomes = away.publish(lambda name, *_: standing.update({name: away.on_disk}))
    assert {outcome.error for outcome in outcomes} == {None}
    assert standing["Wachtrijen"] == [str(NAMED)], "no later than that"
    assert {project: source.tags for project, source in away.queues().items()} == {
        project: source.tags for project, source in before.items()
    }
    assert away.on_disk == []


def test_what_could_not_be_published_stays_until_it_is(away: Away, tmp_path: Path) -> None:
    away.lose(NAMED_S)
    with State(away.folder) as state:
        faults.inject(state, faults.Fault("status", "POST", "/datasources$", count=1, status=400))
    assert {outcome.customer_id for outcome in away.publish() if outcome.error} == {NAMED}
    assert away.on_disk == [str(NAMED), f"{NAMED}/queue.hyper"]
    path = extract.place(away.callmart.settings, NAMED, "queue")
    path.write_bytes(b"of another customer")  # as from a backup: it is not what was proved
    assert {outcome.error for outcome in away.publish()} == {None}
    with tableau.connect(away.callmart.settings) as server:
        packed = server.datasources.download(away.queues()[NAMED_S].id, str(tmp_path / "queues"))
    assert b"of another customer" not in Path(packed).read_bytes()
    assert away.on_disk == []


@pytest.mark.parametrize("is_known", [True, False])
def test_rows_that_were_opened_since_are_extracted_first(away: Away, *, is_known: bool) -> None:
    """What is on the books is not what would be made again: publishing alone must not call the new rows the old. The
    extraction reads them, also if nothing says that they changed.
    """
    away.lose(STANDARD_S)
    change = "update store.queue_interval set talk_s = talk_s + 1 where customer_id = %s"
    with away.callmart.connect() as owner:
        owner.execute(change, [STANDARD])
        if is_known:
            touch(owner, STANDARD)
    (said,) = [outcome.error for outcome in away.publish() if outcome.error]
    assert "run `callmart extract`" in said
    assert away.on_disk == [str(STANDARD)], "an empty folder"
    ran = away.deliver()
    assert (ran.extracts_written, ran.problems) == (1, [])
    assert STANDARD_S in away.queues()
    assert away.on_disk == []


def test_an_extract_of_which_the_books_say_other_types_is_not_published(away: Away) -> None:
    """And one of which they say nothing is opened to see its types."""
    away.lose(STANDARD_S)
    change = "update ops.extract set basis = {} where customer_id = %s and mart_group = 'queue'"
    other = """jsonb_set(basis, '{types,queue_interval,offered}', '"text"')"""
    with away.callmart.connect() as owner:
        owner.execute(change.format(other).encode(), [STANDARD])
    (said,) = [outcome.error for outcome in away.publish() if outcome.error]
    assert "queue_interval.offered is text but its contract says integer" in said
    assert STANDARD_S not in away.queues()
    with away.callmart.connect() as owner:
        owner.execute(change.format("'{}'").encode(), [STANDARD])
    assert {outcome.error for outcome in away.publish()} == {None}
    assert STANDARD_S in away.queues()
    assert away.on_disk == []
