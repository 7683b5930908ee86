"""dbt, called from Python: the models run, and what the marts declare, checked whenever the project is read."""

import fcntl
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import chdir, contextmanager
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

from psycopg.conninfo import conninfo_to_dict
from pydantic import BeforeValidator, Field, ValidationError, model_validator

from callmart.base import declared
from callmart.base.declared import Text, Texts
from callmart.base.errors import UserError
from callmart.base.keys import secret_file
from callmart.base.settings import PROJECT, Settings
from callmart.base.strict import Listed, Strict, first_mistake
from callmart.database import server

# What dbt reads the project from.
SOURCES = ("dbt_project.yml", "profiles.yml", "models", "macros", "tests/dbt")

STATISTICS = "statistics"  # the tag of the models that go by months, whatever the window holds

NUMBERS = ("smallint", "integer", "bigint", "numeric", "double precision")

# A column of another type can hold a name, a telephone number or a key, so it says whom it points to. `bigint` and
# `numeric` are among them: a telephone number fits, and keys of calls are bigint.
COUNTS_AND_MOMENTS = (
    "smallint",
    "integer",
    "double precision",
    "boolean",
    "date",
    "timestamp with time zone",
    "timestamp without time zone",
)

Group = Literal["queue", "line", "agent", "usage"]
Person = Literal["agent", "caller", "contact", "recipient", "staff", "nobody"]

# Whom a mart may show, by its group; macros/store/store_persons.sql says the same to dbt. The groups that are not here
# are open under every contract, and show nobody.
PERSONS: Mapping[Group, tuple[Person, ...]] = {"agent": ("agent", "caller", "nobody")}


class Column(Strict):
    """A column of a mart, with the type of its contract."""

    name: str
    data_type: str
    description: str = ""
    person: Person | None = None
    additive: bool = True  # can be summed
    nullable: bool = False
    least: int = 0
    most: int | None = None
    caption: Texts | None = None  # for all columns of this name, in whatever mart
    description_nl: Text | None = None  # likewise

    @property
    def is_number(self) -> bool:
        """Whether its values are numbers, and no keys that look like them."""
        return self.data_type in NUMBERS and self.person in (None, "nobody") and self.name != "customer_id"

    @property
    def is_word(self) -> bool:
        """Whether it holds words, which can be anybody's name or key."""
        return self.data_type not in (*COUNTS_AND_MOMENTS, *NUMBERS)

    @property
    def is_duration(self) -> bool:
        """Whether it holds seconds."""
        return self.is_number and (self.name.endswith("_s") or self.name == "seconds")


class Series(Strict):
    """Columns that differ in a bound: `wait_answered_le` stands for wait_answered_le_5, wait_answered_le_10 and so on.
    Each counts what smaller bounds count too. In its texts, * is the bound.
    """

    up_to: str  # the column that counts all, whatever the bound
    caption: Texts
    description_nl: Text


def _day(day: object) -> object:
    return None if day == "none" else day


class Mart(Strict):
    """A mart as its YAML declares it. What is missing says, by its description here, what to add."""

    name: str
    group: Annotated[Group, Field(description="one of queue, agent, line")]
    key: Annotated[
        Listed[str], Field(min_length=1, description="the columns of its grain, customer_id first")
    ]
    day: Annotated[
        str | None, BeforeValidator(_day), Field(description="the column of its local day, or none")
    ]
    reach_days: Annotated[int, Field(ge=0)] = 0  # how many days after a changed one change as well
    description: str = ""
    suite: Annotated[Literal["none"] | None, Field(description="`none`, or nothing where it has a suite")] = (
        None
    )
    caption: Texts | None = None
    series: dict[str, Series] = Field(default={})
    declared: Listed[Column]

    @property
    def columns(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(column.name for column in self.declared)

    @property
    def measures(self) -> tuple[Column, ...]:
        """The numbers, but those that tell rows apart."""
        return tuple(column for column in self.declared if column.is_number and column.name not in self.key)

    @property
    def additive(self) -> tuple[str, ...]:
        """The columns that can be summed."""
        return tuple(column.name for column in self.measures if column.additive)

    def bounds(self, series: str) -> tuple[int, ...]:
        """The bounds of a series, by its columns."""
        found = (re.fullmatch(rf"{series}_(\d+)", column) for column in self.columns)
        return tuple(sorted(int(one[1]) for one in found if one))

    @property
    def types(self) -> Mapping[str, str]:
        """The type of each column, as its contract writes it."""
        return {column.name: column.data_type for column in self.declared}

    @property
    def descriptions(self) -> Mapping[str, str]:
        """What each column means."""
        return {column.name: column.description for column in self.declared}

    @property
    def words(self) -> tuple[str, ...]:
        """The columns in which a name or a key could stand."""
        return tuple(column.name for column in self.declared if column.is_word)

    @model_validator(mode="after")
    def _is_whole(self) -> "Mart":
        # macros/store/store_declaration.sql says the same to dbt.
        if self.group != "usage" and self.key[0] != "customer_id":
            raise ValueError("add to its YAML config.meta.key: the columns of its grain, customer_id first")
        for name in (*self.key, *([self.day] if self.day else [])):
            if name not in self.columns:
                raise ValueError(f"add to its YAML a column {name}: its key or day names it")
        if self.day and self.day not in self.key:
            raise ValueError(
                f"add to its YAML {self.day} to config.meta.key: a partitioned key holds the day"
            )
        if self.reach_days and not self.day:
            raise ValueError(
                "take config.meta.reach_days out of its YAML: a mart without days has no days before"
            )
        for column in self.declared:
            self._refuse_undue(column)
            if column.data_type not in COUNTS_AND_MOMENTS or column.person is not None:
                self._refuse_persons(column)
        for name, series in self.series.items():
            if not self.bounds(name) or series.up_to not in self.columns:
                raise ValueError(
                    f"correct config.meta.series.{name} in its YAML: it names columns {name}_5 and so on, and in up_to"
                    " the column that counts all"
                )
        return self

    def _refuse_undue(self, column: Column) -> None:
        """What would let a row pass that nobody could place, or has no effect."""
        if column.description_nl and not column.caption:
            raise ValueError(
                f"add to its YAML a caption to the column {column.name}: description_nl goes with it"
            )
        if column.nullable and column.name in self.key:
            raise ValueError(
                f"take nullable away from the column {column.name} in its YAML: it is part of the key"
            )
        if not column.is_number and (column.least or column.most is not None):
            raise ValueError(
                f"take least and most away from the column {column.name} in its YAML: its values are no numbers"
            )

    def _refuse_persons(self, column: Column) -> None:
        allowed = PERSONS.get(self.group, ("nobody",))
        if column.person is None:
            raise ValueError(
                f"add to its YAML, at the column {column.name}, config: {{meta: {{person: {' | '.join(allowed)}}}}}: "
                "whom its values point to"
            )
        if column.person not in allowed:
            raise ValueError(
                f"a mart of the group {self.group} may not show a person ({column.person}): take the column "
                f"{column.name} out, or declare the mart in its YAML in the group agent, if that may show it"
            )


class _Project(Strict):
    """The marts of a project, kept until something in it changes."""

    fingerprint: str
    marts: tuple[Mart, ...]


def run(
    settings: Settings, on_model: Callable[[str, int, int], None], *, only_statistics: bool = False
) -> None:
    """Compute the window: run all models, or only those of the statistics, which look at more than the window.
    `on_model(name, finished, of)` is told of each that is done.

    Raises UserError: with the project's own words where one of its macros refuses, else with the name of the model that
    failed; never with what the database said, which can hold rows.
    """
    from dbt.cli.main import dbtRunner

    manifest, _ = _parse(settings)
    models = [
        node
        for node in manifest.nodes.values()
        if node.resource_type == "model" and (not only_statistics or STATISTICS in node.tags)
    ]
    selected = ["--select", f"tag:{STATISTICS}"] if only_statistics else []
    finished: list[str] = []
    raised: dict[str, BaseException | None] = {}

    def on_event(event: Any) -> None:
        if event.info.name == "NodeFinished":
            finished.append(event.data.node_info.node_name)
            on_model(finished[-1], len(finished), len(models))
        elif event.info.name == "CatchableExceptionOnRun":
            # dbt says it in words only, while it handles the exception itself, in this thread.
            raised[event.data.node_info.unique_id] = sys.exception()

    # The manifest has just been written, and writing it takes as long as many a model.
    result = _invoke(dbtRunner(manifest, callbacks=[on_event]), settings, "run", "--no-write-json", *selected)
    failed = [r.node for r in result.result or [] if r.status not in ("success", "skipped")]
    if failed:
        raise UserError(
            _own_words(raised.get(failed[0].unique_id))
            or f"model {failed[0].name} ({failed[0].original_file_path}) failed: "
            f"run `dbt run --select {failed[0].name}` in {PROJECT} to see why"
        )
    if not result.success:
        raise UserError(
            _own_words(result.exception) or f"dbt broke off: run `dbt run` in {PROJECT} to see why"
        )


def _own_words(error: BaseException | None) -> str | None:
    """What a macro of the project, or the contract of a model, says; None of any other error.

    The classes decide, and no class below them: those of the database, and of values that a macro could not use, can
    quote rows.
    """
    from dbt.exceptions import ContractError
    from dbt_common.exceptions import CompilationError

    if type(error) is ContractError:
        node = error.node
        differ = ", ".join(row["column_name"] for row in error.get_mismatches())
        return (
            f"{node.original_file_path} and its YAML differ in the columns {differ}: "
            "make their names and types the same"
        )
    return _one_line(error.msg) if type(error) is CompilationError else None


def marts(settings: Settings) -> list[Mart]:
    """The marts that the project declares, in the order of their names.

    What was kept of them counts only for the very files of now; else the project is read again.
    """
    kept = _kept(settings, _fingerprint())
    return list(kept.marts if kept else _parse(settings)[1])


def _parse(settings: Settings) -> tuple[Any, tuple[Mart, ...]]:
    """dbt's manifest of the project, and its marts, which are checked and kept."""
    from dbt.cli.main import dbtRunner  # takes a second to import

    with _alone(settings):
        fingerprint = _fingerprint()
        # dbt goes by the times of files, and takes one with the time of before for the file of before.
        how = [] if _kept(settings, fingerprint) else ["--no-partial-parse"]
        result = _invoke(dbtRunner(), settings, "parse", *how)
        if not result.success:
            raise UserError(f"dbt refuses the project: {_one_line(result.exception)}")
        found = tuple(_declared(result.result.nodes.values()))
        secret_file(_place(settings), _Project(fingerprint=fingerprint, marts=found).model_dump_json())
    return result.result, found


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """While another command reads the project, wait: both would write the same files."""
    _target(settings).mkdir(parents=True, exist_ok=True, mode=0o700)
    with (_target(settings) / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _declared(nodes: Iterable[Any]) -> list[Mart]:
    """The stores among a manifest's nodes. What is frozen is no store, and is held against the same rules."""
    checked = [
        (node.config.materialized, _mart(node))
        for node in sorted(nodes, key=lambda node: str(node.name))
        if node.resource_type == "model" and node.config.materialized in ("store", "frozen")
    ]
    return [mart for materialized, mart in checked if materialized == "store"]


def _mart(node: Any) -> Mart:
    """A node of the manifest as a mart; UserError where it is not declared as a mart has to be."""
    columns = [
        {
            **column.meta,
            "name": name,
            "data_type": column.data_type,
            "description": " ".join(column.description.split()),
        }
        for name, column in node.columns.items()
    ]
    described = {"name": node.name, "description": " ".join(node.description.split())}
    document = {**node.config.meta, **described, "declared": columns}
    try:
        mart = Mart.model_validate(document)
    except ValidationError as error:
        mistake = first_mistake(error)
        place, remedy = ".".join(map(str, declared.named(document, mistake.place))), mistake.remedy
        if place in Mart.model_fields and (wanted := Mart.model_fields[place].description):
            remedy = f"add to its YAML config.meta.{place}: {wanted}"
        elif place:
            remedy = f"in its YAML, {place.replace('declared.', 'columns.')}: {remedy}"
        raise _undeclared(node, remedy) from None
    if (mart.group == "usage") != (node.config.materialized == "frozen"):
        groups = "usage" if node.config.materialized == "frozen" else Mart.model_fields["group"].description
        raise _undeclared(node, f"add to its YAML config.meta.group: {groups}")
    return mart


def _undeclared(node: Any, remedy: str) -> UserError:
    file = str(node.patch_path or node.original_file_path).rpartition("://")[2]
    return UserError(f"mart {node.name} is not declared: {remedy.replace('its YAML', file)}")


def _place(settings: Settings) -> Path:
    """Where the marts are kept: dbt writes its manifest in pieces, and before anybody has checked it."""
    return _target(settings) / "marts.json"


def _kept(settings: Settings, fingerprint: str) -> _Project | None:
    """What was kept of the project with this fingerprint, if it can be read and holds what is asked for now."""
    try:
        kept = _Project.model_validate_json(_place(settings).read_bytes())
    except (OSError, ValidationError):
        return None
    return kept if kept.fingerprint == fingerprint else None


def _fingerprint() -> str:
    """What tells one state of the project from another, and one dbt and one set of rules: contents, never times."""
    files = [Path(__file__), *(PROJECT / name for name in SOURCES)]
    files += [file for folder in files if folder.is_dir() for file in sorted(folder.rglob("*"))]
    digest = sha256(version("dbt-core").encode())
    for file in files:
        if file.is_file():
            digest.update(f"{file}\n{sha256(file.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def _invoke(runner: Any, settings: Settings, *arguments: str) -> Any:
    os.environ.update(_environment(settings))
    with chdir(PROJECT):
        return runner.invoke(
            [
                *arguments,
                "--log-level=none",  # what the database says of a row would stand in it
                "--log-level-file=none",
                f"--target-path={_target(settings)}",
                f"--profiles-dir={PROJECT}",
            ]
        )


def _target(settings: Settings) -> Path:
    return settings.home / "dbt"


def _environment(settings: Settings) -> dict[str, str]:
    """What profiles.yml asks for; the password as a secret, which dbt never prints."""
    own = conninfo_to_dict(server.uri(settings))
    environment = {
        "CALLMART_PG_HOST": own.get("host") or "localhost",
        "CALLMART_PG_PORT": own.get("port") or "5432",
        "CALLMART_PG_USER": own["user"],
        "CALLMART_PG_DATABASE": own["dbname"],
        "CALLMART_PG_SSLMODE": own.get("sslmode") or "prefer",
        "CALLMART_PG_SSLROOTCERT": own.get("sslrootcert") or "",
        "DBT_ENV_SECRET_CALLMART_PG_PASSWORD": own.get("password") or "",
    }
    if own.get("passfile"):
        environment["PGPASSFILE"] = own["passfile"]
    return {name: str(value) for name, value in environment.items()}


def _one_line(error: object) -> str:
    return " ".join(str(error).split())[:500]
