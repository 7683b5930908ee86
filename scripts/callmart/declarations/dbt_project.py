"""Runs dbt from Python, and reads the marts that the dbt project declares. Each reading checks them (mart.py)."""

import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import chdir, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache
from graphlib import TopologicalSorter
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from threading import Thread
from typing import Any

from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import Conninfo
from pydantic import ValidationError

from callmart.base import declared, file_lock
from callmart.base import matrix as access
from callmart.base.errors import DISK_FULL, UserError, is_disk_full, kind_of_state, mistake_in_sql
from callmart.base.matrix import Matrix, matrix
from callmart.base.pointing import COUNTS_AND_MOMENTS, WHOM
from callmart.base.progress import OnItem
from callmart.base.secret_files import private_folder, secret_file
from callmart.base.settings import PROJECT, Settings
from callmart.base.strict import Strict, first_mistake
from callmart.database import server
from callmart.declarations import fingerprint
from callmart.declarations.mart import Mart

# The files and folders that dbt reads.
SOURCES = ("dbt_project.yml", "profiles.yml", "models", "macros")

PATIENCE_S = 600  # for other commands that read the project

# How the SQLSTATEs begin of what is no model's fault: what the server lacks, who ended a session, what it can't read.
OF_THE_SERVER = ("53", "57", "58")

MARTS = "+config.materialized:store"  # how dbt selects all marts and the models that they read
STATISTICS = "statistics"  # the tag of models that are computed by month, not by the days of the window


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


@cache
def load_beside() -> None:
    """Begin to import dbt in a thread, once. `run` does too, but the second that it takes can pass while the server has
    work.
    """

    def load() -> None:
        with suppress(Exception):  # the program ends meanwhile; any other error comes again in `run`
            import_module("dbt.cli.main")

    Thread(target=load).start()


def run(
    settings: Settings,
    on_model: OnItem,
    *,
    only_statistics: bool = False,
    without: Sequence[str] = (),
    computed: Iterable[str] = (),
) -> list[Compiled]:
    """Compute the window: run all models, or only those of the statistics, which do not depend on the window.
    `on_model(name, finished, of)` is called after each. Returns the models as they were run. If callmart has
    computed some at several places, those `without` are left out, and the rows of the `computed` are in `build`.

    Raises UserError if a model fails. The message is that of our macro if one refused, otherwise it names the model,
    and what is wrong in the text of its SQL. Any other message of the database can contain rows.
    """
    from dbt.cli.main import dbtRunner

    from callmart.declarations.longest_first import longest_first

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
    finished: list[str] = []
    raised: dict[str, BaseException | None] = {}

    def on_event(event: Any) -> None:
        if event.info.name == "NodeFinished":
            finished.append(event.data.node_info.node_name)
            on_model(finished[-1], len(finished), len(models))
        elif event.info.name == "CatchableExceptionOnRun":
            # The event has only a text. dbt is handling the exception in this thread, so we can get it.
            raised[event.data.node_info.unique_id] = sys.exception()

    with longest_first():
        result = _invoke(
            dbtRunner(manifest, callbacks=[on_event]), settings, "run", *selected, computed=computed
        )
    _refuse_failure(result, raised)
    return [_compiled(one.node) for one in result.result if one.node.resource_type == "model"]


def _refuse_failure(result: Any, raised: Mapping[str, BaseException | None]) -> None:
    """Raise UserError if dbt did not run everything. `raised` has what models raised, by their ids."""
    failed = [one.node for one in result.result or () if one.status not in ("success", "skipped")]
    if failed:
        error = raised.get(failed[0].unique_id)
        if words := _own_words(error):
            raise UserError(words)
        model = f"model {failed[0].name} ({failed[0].original_file_path}) failed"
        if fault := _fault_of_server(error):
            raise UserError(f"{model}{fault}")
        mistake = mistake_in_sql(error and error.__cause__)
        again = f"run `dbt run --select {failed[0].name}` in {PROJECT}"
        raise UserError(
            f"{model}: {mistake}: correct it there, or {again} to see where"
            if mistake
            else f"{model}: {again} to see why"
        )
    if not result.success:
        raise UserError(
            _own_words(result.exception) or f"dbt broke off: run `dbt run` in {PROJECT} to see why"
        )


def compiled_marts(settings: Settings) -> list[Compiled]:
    """Return all marts and the models that they read. Raises UserError if dbt can't compile them."""
    return [_compiled(node) for node in _compile(settings, MARTS)]


def compiled_models(settings: Settings) -> list[Compiled]:
    """Return all models. Raises UserError if dbt can't compile them."""
    return [_compiled(node) for node in _compile(settings, "fqn:*")]


def compiled(settings: Settings, chosen: str, schema: str) -> list[Compiled]:
    """Return the models that dbt selects by `chosen`, each after those that it reads. In their SQL, `schema` takes the
    place of the schema in which builds compute.

    Raises UserError if dbt can't compile them.
    """
    nodes = {node.unique_id: node for node in _compile(settings, chosen)}
    reads = {name: [one for one in node.depends_on.nodes if one in nodes] for name, node in nodes.items()}
    ordered = [nodes[name] for name in TopologicalSorter(reads).static_order()]
    computed_in = next(
        node.relation_name.removesuffix(f'"{node.name}"') for node in ordered if node.schema == "build"
    )
    return [replace(one, sql=one.sql.replace(computed_in, f"{schema}.")) for one in map(_compiled, ordered)]


def _compile(settings: Settings, chosen: str) -> list[Any]:
    """The nodes of chosen models, compiled."""
    from dbt.cli.main import dbtRunner

    manifest, _ = _parse(settings)
    selected = f"{chosen},resource_type:model"
    result = _invoke(dbtRunner(manifest), settings, "compile", "--select", selected)
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
        differ = ", ".join(
            f"{row['column_name']} ({_type(row['definition_type'])} in the SQL,"
            f" {_type(row['contract_type'])} in the YAML)"
            for row in error.get_mismatches()
        )
        return (
            f"{node.original_file_path} and its YAML differ in the columns {differ}: "
            "make their names and types the same"
        )
    return _one_line(error.msg) if type(error) is CompilationError else None


def _type(name: str) -> str:
    """A type that dbt's driver names, by PostgreSQL's name."""
    names = {
        "": "missing",
        "LONGINTEGER": "bigint",
        "DATETIME": "timestamp without time zone",
        "DATETIMETZ": "timestamp with time zone",
        "FLOAT": "double precision",
        "DECIMAL": "numeric",
        "STRING": "text",
    }
    return names.get(name, name.lower())


def _fault_of_server(error: BaseException | None) -> str | None:
    """What to say of a model that failed because the server has no room or no memory, or refused or ended the session;
    None if the model may be at fault.
    """
    from dbt.adapters.exceptions import FailedToConnectError

    if isinstance(error, FailedToConnectError):
        return f": {server.cause(error)}"
    diagnosis = getattr(error and error.__cause__, "diag", None)
    if diagnosis is None:
        return None
    if diagnosis.sqlstate is None:  # nothing came back
        return ": the server broke off: if it is not running, start it; then run the same command again"
    if not diagnosis.sqlstate.startswith(OF_THE_SERVER):
        return None
    remedy = "make room" if diagnosis.sqlstate == DISK_FULL else "mend that on the server"
    return f" ({kind_of_state(diagnosis.sqlstate)}): {remedy}, then run the same command again"


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
        project = fingerprint_of_files()
        # dbt goes by modification times, and would miss a change that left the time of a file as it was.
        options = [] if _cached(settings, project) else ["--no-partial-parse"]
        result = _invoke(dbtRunner(), settings, "parse", *options)
        if not result.success:
            raise UserError(f"dbt refuses the project: {_one_line(result.exception)}")
        found = tuple(_declared(result.result.nodes.values()))
        secret_file(_cache_file(settings), _Project(fingerprint=project, marts=found).model_dump_json())
    return result.result, found


@contextmanager
def _locked(settings: Settings) -> Iterator[None]:
    """Wait while another command reads the project: both would write the same files."""
    private_folder(_target(settings))
    with (_target(settings) / "lock").open("w") as file:
        file_lock.take(
            file,
            PATIENCE_S,
            "another command has been reading the project for ten minutes, or was suspended: end it, then run this "
            "again",
        )
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


def _cached(settings: Settings, project: str) -> _Project | None:
    """The cached marts; None if the cache can't be read, or if `project`, the fingerprint, is another."""
    try:
        cached = _Project.model_validate_json(_cache_file(settings).read_bytes())
    except (OSError, ValidationError):
        return None
    return cached if cached.fingerprint == project else None


def fingerprint_of_files() -> str:
    """Return a hash of the project's files, of access.yml, of the rules and of dbt's version."""
    return f"{version('dbt-core')} {fingerprint.of(access.FILE, *(PROJECT / name for name in SOURCES))}"


def _invoke(runner: Any, settings: Settings, *arguments: str, computed: Iterable[str] = ()) -> Any:
    """The result of a dbt command. Raises KeyboardInterrupt if it was interrupted: dbt returns that like any error."""
    # By these dbt leaves the window and the `computed` models to us (macros/window).
    ours = {"DBT_BY_CALLMART": "yes", "DBT_COMPUTED_BY_CALLMART": ",".join(computed)}
    with _variables(_environment(settings) | ours), chdir(PROJECT):
        result = runner.invoke(
            [
                *arguments,
                "--no-write-json",  # nobody reads dbt's manifest.json
                "--log-level=none",  # the log would have the database's messages, which can contain rows
                "--log-level-file=none",
                f"--log-path={_target(settings) / 'logs'}",  # dbt makes it all the same
                f"--target-path={_target(settings)}",
                f"--profiles-dir={PROJECT}",
            ]
        )
    if isinstance(result.exception, KeyboardInterrupt):
        raise result.exception
    if is_disk_full(result.exception):  # dbt says it as if the project were wrong
        raise UserError(
            f"dbt finds no room in {_target(settings)}: make room, then run the same command again"
        )
    return result


@contextmanager
def _variables(given: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables, and bring back those of before: whoever connects later is not always the owner."""
    before = {name: os.environ.get(name) for name in given}
    os.environ.update(given)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _target(settings: Settings) -> Path:
    return settings.home / "dbt"


def _environment(settings: Settings) -> dict[str, str]:
    """The variables that profiles.yml reads, and libpq's own for what else the DSN says. dbt never prints a variable
    named DBT_ENV_SECRET_…: the password.
    """
    own = {part: str(value) for part, value in conninfo_to_dict(server.uri(settings)).items()}
    libpq = {each.keyword.decode(): each for each in Conninfo.get_defaults()}

    def take(part: str) -> str:
        """As libpq finds it. Without a host that is the socket, which an empty one means, too."""
        return own.pop(part, "") or (libpq[part].val or b"").decode()

    ports = dict.fromkeys(one or str(server.DEFAULT_PORT) for one in take("port").split(","))
    of_profile = {
        "CALLMART_PG_HOST": take("host"),
        "CALLMART_PG_PORT": ",".join(ports),  # dbt knows one, which is that of all hosts
        "CALLMART_PG_USER": own.pop("user"),
        "CALLMART_PG_DATABASE": own.pop("dbname"),
        "CALLMART_PG_SSLMODE": take("sslmode"),
        "CALLMART_PG_SSLROOTCERT": take("sslrootcert"),
        "DBT_ENV_SECRET_CALLMART_PG_PASSWORD": take("password"),
    }
    return of_profile | {name.decode(): value for part, value in own.items() if (name := libpq[part].envvar)}


def _one_line(error: object) -> str:
    return " ".join(str(error).split())[:500]
