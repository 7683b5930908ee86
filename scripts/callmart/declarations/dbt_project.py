"""Runs dbt from Python, and reads the marts that the dbt project declares. Declarations are checked at each reading."""

import fcntl
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import chdir, contextmanager
from dataclasses import dataclass, replace
from graphlib import TopologicalSorter
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

from psycopg.conninfo import conninfo_to_dict
from pydantic import BeforeValidator, Field, ValidationError

from callmart.base import declared
from callmart.base import matrix as access
from callmart.base.declared import EarlierNames, Name, Text, Texts
from callmart.base.errors import UserError
from callmart.base.keys import secret_file
from callmart.base.matrix import USAGE, Matrix, matrix
from callmart.base.nearest import nearest
from callmart.base.pointing import COUNTS_AND_MOMENTS, WHOM, Whom
from callmart.base.settings import PROJECT, Settings
from callmart.base.strict import Listed, Strict, first_mistake
from callmart.database import server

# The files and folders that dbt reads.
SOURCES = ("dbt_project.yml", "profiles.yml", "models", "macros")

STATISTICS = "statistics"  # the tag of models that are computed by month, not by the days of the window

NUMBERS = ("smallint", "integer", "bigint", "numeric", "double precision")

# The types into which PostgreSQL converts every value of a type without loss.
WIDER: Mapping[str, tuple[str, ...]] = {
    "smallint": ("integer", "bigint", "numeric", "double precision"),
    "integer": ("bigint", "numeric", "double precision"),
    "bigint": ("numeric",),
}

# Of a mart. Its months and the view of its ratios have longer names, and PostgreSQL cuts off at 63.
LONGEST_NAME = 48

# The mart with what agents are called. Every other column that points to a person has keys.
NAMES_OF_AGENTS = "agent"


class Column(Strict):
    """A column of a mart, as the mart's YAML declares it. dbt enforces its type."""

    name: Name
    data_type: str
    description: str = ""
    person: Whom | None = None  # null only where values are counts or moments
    additive: bool = True  # it makes sense to sum it
    largest: bool = False  # it can't be summed, but the largest of several makes sense
    nullable: bool = False
    least: int = 0
    most: int | None = None
    renamed_from: Listed[
        str
    ] = ()  # its former names; `callmart upgrade` renames a column that has one of them
    widened_from: str | None = None  # its former type; `callmart upgrade` widens a column that has it
    caption: Texts | None = None  # for all columns of this name, in any mart
    description_nl: Text | None = None  # likewise
    description_en: Text | None = None  # likewise, where `description` has words of SQL

    @property
    def is_of_a_person(self) -> bool:
        """Whether its values point to a person."""
        return self.person not in (None, "nobody")

    @property
    def is_number(self) -> bool:
        """Whether its values are numbers to compute with, not keys."""
        return self.data_type in NUMBERS and not self.is_of_a_person and self.name != "customer_id"

    def widens(self, data_type: str) -> bool:
        """Whether a column of this type is to be widened: the former type, or one that fits into it."""
        return self.widened_from is not None and (
            data_type == self.widened_from or self.widened_from in WIDER.get(data_type, ())
        )

    @property
    def is_word(self) -> bool:
        """Whether it contains words, which can be a person's name or key."""
        return self.data_type not in (*COUNTS_AND_MOMENTS, *NUMBERS)

    @property
    def is_duration(self) -> bool:
        """Whether its values are seconds."""
        return self.is_number and (self.name.endswith("_s") or self.name == "seconds")


class Series(Strict):
    """Columns that differ in a bound: `wait_answered_le` means wait_answered_le_5, wait_answered_le_10 and so on. Each
    includes the counts of smaller bounds. In the texts, * is the bound.
    """

    up_to: str  # the column that counts all, without a bound
    caption: Texts
    description_nl: Text


def _day(day: object) -> object:
    return None if day == "none" else day


class Mart(Strict):
    """A mart as its YAML declares it. If a key is missing, the message quotes the description of its field here."""

    name: Name
    group: str
    key: Annotated[
        Listed[str], Field(min_length=1, description="the columns of its grain, customer_id first")
    ]
    day: Annotated[
        str | None, BeforeValidator(_day), Field(description="the column of its local day, or none")
    ]
    reach_days: Annotated[int, Field(ge=0)] = 0  # a row also reads so many days before its own
    renamed_from: EarlierNames = Field(default=[])  # `callmart upgrade` renames a mart that has one of them
    description: str = ""
    suite: Annotated[
        Literal["none"] | None, Field(description="`none`, or leave it out if the mart has a suite")
    ] = None
    ratios: Name | None = None  # what the view with its ratios is called; <mart>_ratios by default
    caption: Texts | None = None
    series: dict[str, Series] = Field(default={})
    declared: Listed[Column]

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(column.name for column in self.declared)

    @property
    def measures(self) -> tuple[Column, ...]:
        """The columns of numbers that are not part of the key."""
        return tuple(column for column in self.declared if column.is_number and column.name not in self.key)

    @property
    def additive(self) -> tuple[str, ...]:
        """The columns that can be summed."""
        return tuple(column.name for column in self.measures if column.additive)

    @property
    def shown(self) -> tuple[str, ...]:
        """The columns that reports can show of several rows: their sum, or the largest."""
        return tuple(column.name for column in self.measures if column.additive or column.largest)

    @property
    def unreadable(self) -> tuple[str, ...]:
        """The columns that a list can't show: keys, but for those of agents, who have names, and times in UTC."""
        return tuple(
            column.name
            for column in self.declared
            if (column.is_of_a_person and column.name != "agent_key")
            or column.name == "customer_id"
            or column.data_type == "timestamp with time zone"
        )

    def bounds(self, series: str) -> tuple[int, ...]:
        """The bounds of a series, found in the names of its columns."""
        found = (re.fullmatch(rf"{series}_(\d+)", column) for column in self.columns)
        return tuple(sorted(int(one[1]) for one in found if one))

    def whole_of(self, column: str) -> str:
        """The column that counts all of which this one counts those within a bound; empty if it is none of a series."""
        return next(
            (
                series.up_to
                for name, series in self.series.items()
                if column in (f"{name}_{bound}" for bound in self.bounds(name))
            ),
            "",
        )

    @property
    def types(self) -> Mapping[str, str]:
        """The declared type of each column."""
        return {column.name: column.data_type for column in self.declared}

    @property
    def descriptions(self) -> Mapping[str, str]:
        """The description of each column."""
        return {column.name: column.description for column in self.declared}

    @property
    def pseudonyms(self) -> tuple[Column, ...]:
        """The columns with keys of persons: all that point to a person, but what agents are called."""
        return tuple(
            column
            for column in self.declared
            if column.is_of_a_person and (self.name != NAMES_OF_AGENTS or column.name in self.key)
        )

    @property
    def words(self) -> tuple[str, ...]:
        """The columns that could contain a name or a key."""
        return tuple(column.name for column in self.declared if column.is_word)

    def mistakes(self, matrix: Matrix, *, is_frozen: bool = False) -> Iterator[tuple[str, str]]:
        """What is wrong beyond the form of each key: the column, or an empty text, and a sentence with the remedy."""
        # macros/store/store_declaration.sql has the same rules for dbt.
        groups = [USAGE] if is_frozen else [*matrix.groups]
        if self.group not in groups:
            yield "", f"add to its YAML config.meta.group: one of {', '.join(groups)}"
        if len(self.name) > LONGEST_NAME:
            remedy = f"shorten the name to {LONGEST_NAME} characters: its months and its ratios are called after it"
            yield "", remedy
        if self.group != USAGE and self.key[0] != "customer_id":
            yield "", "add to its YAML config.meta.key: the columns of its grain, customer_id first"
        yield from self._key_and_day()
        if self.reach_days and not self.day:
            yield (
                "",
                "remove config.meta.reach_days from its YAML: a mart without days can't look back at other days",
            )
        if self.renamed_from and self.group == USAGE:
            yield "", "remove config.meta.renamed_from from its YAML: a statistic keeps its name"
        for name, series in self.series.items():
            if not self.bounds(name) or series.up_to not in self.columns:
                yield (
                    "",
                    f"correct config.meta.series.{name} in its YAML: it names columns {name}_5 and so on, and in up_to"
                    " the column that counts all",
                )
        for column in self.declared:
            of_column = [*self._undue(column), *self._changes(column)]
            if self.group in groups:
                of_column += self._persons(column, matrix)
            yield from ((column.name, sentence) for sentence in of_column)

    def _key_and_day(self) -> Iterator[tuple[str, str]]:
        """What is wrong in the columns of the key and of the day."""
        for name in dict.fromkeys((*self.key, *([self.day] if self.day else []))):
            if name not in self.columns:
                near = nearest(name, self.columns)
                remedy = f"; or write {near} there" if near else ""
                yield "", f"add to its YAML a column {name}: its key or day names it{remedy}"
        if twice := [name for name in self.key if self.key.count(name) > 1]:
            yield "", f"correct config.meta.key in its YAML: {twice[0]} is there twice"
        for name, data_type in {"customer_id": "integer", self.day or "": "date"}.items():
            if self.types.get(name, data_type) != data_type and self.group != USAGE:
                yield name, f"correct data_type of the column {name} in its YAML: it must be {data_type}"
        if self.day and self.day not in self.key:
            yield "", f"add to its YAML {self.day} to config.meta.key: a partitioned key holds the day"

    def _undue(self, column: Column) -> Iterator[str]:
        """What has no effect on a column, or weakens the key."""
        for name in ("description_nl", "description_en"):
            if getattr(column, name) and not column.caption:
                yield f"add to its YAML a caption to the column {column.name}: {name} needs one"
        if column.nullable and column.name in self.key:
            yield f"remove nullable from the column {column.name} in its YAML: it is part of the key"
        if column.largest and column.additive:
            yield f"remove largest from the column {column.name} in its YAML, or add additive: false"
        if not column.is_number and (column.least or column.most is not None):
            yield f"remove least and most from the column {column.name} in its YAML: its values are not numbers"
        if column.most is not None and column.most < column.least:
            yield f"correct most of the column {column.name} in its YAML: it is smaller than least"
        if not column.additive and not column.is_number:
            yield f"remove additive from the column {column.name} in its YAML: its values are not numbers"

    def _changes(self, column: Column) -> Iterator[str]:
        """A former name that is in use, and a type that some values would not fit into."""
        if self.group == USAGE and (column.renamed_from or column.widened_from):
            yield (
                f"remove renamed_from and widened_from from the column {column.name} in its YAML: a statistic is frozen"
            )
        claims = Counter([*self.columns, *(former for one in self.declared for former in one.renamed_from)])
        if claimed := [former for former in column.renamed_from if claims[former] > 1]:
            yield (
                f"correct renamed_from of the column {column.name} in its YAML: "
                f"{claimed[0]} is also another column, or there twice"
            )
        if column.name == "customer_id" and (column.renamed_from or column.widened_from):
            yield (
                "remove renamed_from and widened_from from the column customer_id in its YAML: the policies read it"
            )
        if column.widened_from is not None and column.data_type not in WIDER.get(column.widened_from, ()):
            wider = "; ".join(f"{narrow} to {', '.join(wide)}" for narrow, wide in WIDER.items())
            yield (
                f"correct widened_from of the column {column.name} in its YAML: only these lose nothing: {wider}"
            )

    def _persons(self, column: Column, matrix: Matrix) -> Iterator[str]:
        """What is wrong in whom a column points to."""
        allowed = matrix.persons(self.group)
        if column.person is None:
            if column.data_type not in COUNTS_AND_MOMENTS:
                said = f"config: {{meta: {{person: {' | '.join(allowed)}}}}}"
                yield f"add to its YAML, at the column {column.name}, {said}: whom its values point to"
        elif column.person not in allowed:
            showing = [group for group in matrix.groups if column.person in matrix.persons(group)]
            other = (
                f", or declare the mart there in the group {showing[0]}, if that may show it"
                if showing
                else ""
            )
            yield (
                f"a mart of the group {self.group} may not show a person ({column.person}): remove the column "
                f"{column.name} from its YAML{other}"
            )


@dataclass(frozen=True)
class Compiled:
    """A model as SQL."""

    model: str  # dbt's id
    name: str
    is_view: bool
    sql: str
    reads: tuple[str, ...]  # dbt's ids of the models and sources that it reads
    persons: Mapping[str, str | None]  # by column, whom it points to


class _Project(Strict):
    """The cached marts of a project, valid until one of its files changes."""

    fingerprint: str
    marts: tuple[Mart, ...]


def run(
    settings: Settings,
    on_model: Callable[[str, int, int], None],
    *,
    only_statistics: bool = False,
    without: Sequence[str] = (),
    computed: Iterable[str] = (),
) -> list[Compiled]:
    """Compute the window: run all models, or only those of the statistics, which do not depend on the window.
    `on_model(name, finished, of)` is called after each. Returns the models as they were run. In a cluster, models are
    left out that are computed on its nodes, and the rows of `computed` marts are in `build` already.

    Raises UserError if a model fails. The message is that of our macro if one refused, otherwise it names the model. It
    is never the database's message, which can contain rows.
    """
    from dbt.cli.main import dbtRunner

    manifest, _ = _parse(settings)
    models = [
        node
        for node in manifest.nodes.values()
        if node.resource_type == "model"
        and node.name not in without
        and (not only_statistics or STATISTICS in node.tags)
    ]
    selected = ["--select", f"tag:{STATISTICS}"] if only_statistics else []
    selected += ["--exclude", *without] if without else []
    os.environ["DBT_COMPUTED_ON_NODES"] = ",".join(computed)
    finished: list[str] = []
    raised: dict[str, BaseException | None] = {}

    def on_event(event: Any) -> None:
        if event.info.name == "NodeFinished":
            finished.append(event.data.node_info.node_name)
            on_model(finished[-1], len(finished), len(models))
        elif event.info.name == "CatchableExceptionOnRun":
            # The event has only a text. dbt is handling the exception in this thread, so we can get it.
            raised[event.data.node_info.unique_id] = sys.exception()

    # The manifest has just been written, and writing it again takes as long as a model.
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
    return [_compiled(one.node) for one in result.result if one.node.resource_type == "model"]


def compiled_marts(settings: Settings) -> list[Compiled]:
    """Return all marts and the models that they read. Raises UserError if dbt can't compile them."""
    return [_compiled(node) for node in _compile(settings, "+config.materialized:store")]


def compiled_models(settings: Settings) -> list[Compiled]:
    """Return all models. Raises UserError if dbt can't compile them."""
    return [_compiled(node) for node in _compile(settings, "fqn:*")]


def compiled(settings: Settings, model: str, schema: str) -> list[Compiled]:
    """Return a model and all models that it reads, each after those that it reads. In their SQL, `schema` takes the
    place of the schema in which builds compute.

    Raises UserError if dbt can't compile them.
    """
    nodes = {node.unique_id: node for node in _compile(settings, f"+{model}")}
    reads = {name: [one for one in node.depends_on.nodes if one in nodes] for name, node in nodes.items()}
    ordered = [nodes[name] for name in TopologicalSorter(reads).static_order()]
    computed_in = ordered[-1].relation_name.removesuffix(f'"{model}"')
    found = (_compiled(node) for node in ordered)
    return [replace(one, sql=one.sql.replace(computed_in, f"{schema}.")) for one in found]


def _compile(settings: Settings, chosen: str) -> list[Any]:
    """The nodes of chosen models, compiled."""
    from dbt.cli.main import dbtRunner

    manifest, _ = _parse(settings)
    selected = f"{chosen},resource_type:model"
    result = _invoke(dbtRunner(manifest), settings, "compile", "--no-write-json", "--select", selected)
    if not result.success:
        raise UserError(
            f"dbt can't compile the models {chosen}: run `dbt compile --select {chosen}` in {PROJECT} to see why"
        )
    return [one.node for one in result.result]


def _compiled(node: Any) -> Compiled:
    return Compiled(
        node.unique_id,
        node.name,
        node.config.materialized == "view",
        node.compiled_code,
        tuple(node.depends_on.nodes),
        {column.name: _persons(column.meta.get("person")) for column in node.columns.values()},
    )


def _persons(declared: str | list[str] | None) -> str | None:
    """As macros/persons/declare_persons.sql writes them into a comment."""
    return ", ".join(declared) if isinstance(declared, list) else declared


def _own_words(error: BaseException | None) -> str | None:
    """The message of an error of one of our macros or of a type that dbt enforces; None for any other error.

    Subclasses don't count: those for database errors, and for values that a macro could not use, can quote rows.
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
    """Return the marts that the project declares, sorted by name. Raises UserError if a declaration is wrong.

    They are read from a cache if no file of the project has changed.
    """
    cached = _cached(settings, fingerprint_of_files())
    return list(cached.marts if cached else _parse(settings)[1])


def _parse(settings: Settings) -> tuple[Any, tuple[Mart, ...]]:
    """Let dbt parse the project. Returns its manifest and the checked marts, which are also cached."""
    from dbt.cli.main import dbtRunner  # takes a second to import

    with _locked(settings):
        fingerprint = fingerprint_of_files()
        # dbt goes by modification times, and would miss a change that left the time of a file as it was.
        options = [] if _cached(settings, fingerprint) else ["--no-partial-parse"]
        result = _invoke(dbtRunner(), settings, "parse", *options)
        if not result.success:
            raise UserError(f"dbt refuses the project: {_one_line(result.exception)}")
        found = tuple(_declared(result.result.nodes.values()))
        secret_file(_cache_file(settings), _Project(fingerprint=fingerprint, marts=found).model_dump_json())
    return result.result, found


@contextmanager
def _locked(settings: Settings) -> Iterator[None]:
    """Wait while another command reads the project: both would write the same files."""
    _target(settings).mkdir(parents=True, exist_ok=True, mode=0o700)
    with (_target(settings) / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _declared(nodes: Iterable[Any]) -> list[Mart]:
    """The marts among a manifest's nodes: the models that are materialized as `store`. Frozen models are checked by the
    same rules but not returned. Of other models it is checked whom their columns point to.
    """
    found = []
    for node in sorted(nodes, key=lambda node: str(node.name)):
        if node.resource_type != "model":
            continue
        if node.config.materialized not in ("store", "frozen"):
            _refuse_unsaid(node)
            continue
        mart = _mart(node)
        if node.config.materialized == "store":
            found.append(mart)
    for mart, sentence in claimed(found):
        raise UserError(f"mart {mart.name}: {sentence}")
    return found


def _refuse_unsaid(node: Any) -> None:
    """Raise UserError if a column of a model does not say whom it points to, or says it wrongly. If the YAML gives no
    type, dbt checks when it has built the model (macros/persons/declare_persons.sql).
    """
    for name, column in node.columns.items():
        if not says_whom(column.meta.get("person"), column.data_type):
            raise UserError(
                f"model {node.name} does not say whom its column {name} points to: add to {_file(node)}, at the column,"
                f" config: {{meta: {{person: {' | '.join(WHOM)}}}}}"
            )


def says_whom(said: object, data_type: str | None) -> bool:
    """Whether a column that is no mart's says whom it points to, or need not."""
    if said is None:
        return data_type in (None, *COUNTS_AND_MOMENTS)
    persons = said if isinstance(said, list) else [said]
    return (
        bool(persons)
        and set(map(str, persons)) <= set(WHOM)
        and (persons == ["nobody"] or "nobody" not in persons)
    )


def claimed(marts: Sequence[Mart]) -> Iterator[tuple[Mart, str]]:
    """The marts of which a former name, or the view of ratios, is also the name of another, with a sentence."""
    claims = Counter(former for mart in marts for former in mart.renamed_from)
    claims.update(mart.name for mart in marts)
    claims.update(mart.ratios for mart in marts if mart.ratios)
    for mart in marts:
        if twice := [former for former in mart.renamed_from if claims[former] > 1]:
            yield (
                mart,
                f"correct config.meta.renamed_from in its YAML: {twice[0]} is also another mart, or there twice",
            )
        if mart.ratios and claims[mart.ratios] > 1:
            yield mart, f"correct config.meta.ratios in its YAML: {mart.ratios} is also another mart or view"


def _mart(node: Any) -> Mart:
    """Read a node of the manifest as a mart. Raises UserError if its declaration is wrong or not complete."""
    columns = [
        {**column.meta, **_of_dbt(name, column.description), "data_type": column.data_type}
        for name, column in node.columns.items()
    ]
    document = {**node.config.meta, **_of_dbt(node.name, node.description), "declared": columns}
    try:
        mart = Mart.model_validate(document)
    except ValidationError as error:
        mistake = first_mistake(error)
        place, remedy = ".".join(map(str, declared.named(document, mistake.place))), mistake.remedy
        if wanted := wanted_at(place, matrix()):
            remedy = f"add to its YAML config.meta.{place}: {wanted}"
        elif place:
            remedy = f"in its YAML, {place.replace('declared.', 'columns.')}: {remedy}"
        raise _wrong(node, remedy) from None
    for _, sentence in mart.mistakes(matrix(), is_frozen=node.config.materialized == "frozen"):
        raise _wrong(node, sentence)
    return mart


def mart_document(model: Mapping[str, Any]) -> dict[str, Any]:
    """A model as its own YAML declares it, in the form of a mart."""
    columns = [column for column in model.get("columns") or () if isinstance(column, dict)]
    return {
        **_flat(model, "name", "description"),
        "declared": [_flat(one, "name", "data_type", "description") for one in columns],
    }


OF_DBT = ("name", "description", "data_type", "declared")  # what is not within config.meta


def _flat(declared: Mapping[str, Any], *of_dbt: str) -> dict[str, Any]:
    """Our own keys, which are within config.meta, beside some of dbt's."""
    config = declared.get("config")
    meta = config.get("meta") if isinstance(config, dict) else None
    return {
        **(meta if isinstance(meta, dict) else {}),
        **{key: declared[key] for key in of_dbt if key in declared},
    }


def _of_dbt(name: str, description: str) -> dict[str, str]:
    """What a mart or a column has of dbt."""
    return {"name": name, "description": " ".join(description.split())}


def wanted_at(key: str, roles: Matrix) -> str | None:
    """What a key of a mart's config.meta has to be, if it can't be left out."""
    if key == "group":
        return f"one of {', '.join(roles.groups)}"
    return Mart.model_fields[key].description if key in Mart.model_fields else None


def _wrong(node: Any, remedy: str) -> UserError:
    return UserError(
        f"the declaration of mart {node.name} is wrong: {remedy.replace('its YAML', _file(node))}"
    )


def _file(node: Any) -> str:
    """The file that declares a model: its YAML, or its SQL if it has none."""
    return str(node.patch_path or node.original_file_path).rpartition("://")[2]


def _cache_file(settings: Settings) -> Path:
    """The file of the cached marts. dbt's own manifest would not do: dbt writes it in pieces, and before our checks."""
    return _target(settings) / "marts.json"


def _cached(settings: Settings, fingerprint: str) -> _Project | None:
    """The cached marts; None if the cache can't be read, or is of a project with another fingerprint."""
    try:
        cached = _Project.model_validate_json(_cache_file(settings).read_bytes())
    except (OSError, ValidationError):
        return None
    return cached if cached.fingerprint == fingerprint else None


def fingerprint_of_files() -> str:
    """Return a hash of the contents of the project's files, of access.yml, of this module and of dbt's version."""
    files = [Path(__file__), access.FILE, *(PROJECT / name for name in SOURCES)]
    files += [file for folder in files if folder.is_dir() for file in sorted(folder.rglob("*"))]
    digest = sha256(version("dbt-core").encode())
    for file in files:
        if file.is_file():
            digest.update(f"{file}\n{sha256(file.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def _invoke(runner: Any, settings: Settings, *arguments: str) -> Any:
    # With the second one dbt leaves the window to us (macros/window).
    os.environ.update(_environment(settings) | {"DBT_BY_CALLMART": "yes"})
    with chdir(PROJECT):
        return runner.invoke(
            [
                *arguments,
                "--log-level=none",  # the log would have the database's messages, which can contain rows
                "--log-level-file=none",
                f"--log-path={_target(settings) / 'logs'}",  # dbt makes it all the same
                f"--target-path={_target(settings)}",
                f"--profiles-dir={PROJECT}",
            ]
        )


def _target(settings: Settings) -> Path:
    return settings.home / "dbt"


def _environment(settings: Settings) -> dict[str, str]:
    """The variables that profiles.yml reads. dbt never prints a variable named DBT_ENV_SECRET_…: the password."""
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
