"""The command that says what is wrong, and how others are told: metrics and alarms."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from callmart.base.errors import UserError
from callmart.base.settings import Settings, settings
from callmart.cli.terminal import MISTAKE, UNDONE, Json, out, plain, print_json, warn

if TYPE_CHECKING:
    from callmart.operations.health import Health

app = typer.Typer()


@app.command("health")
def health_(
    as_json: Json = False,
    alert: Annotated[
        bool, typer.Option("--alert", help="Send alarms, as `alerts` in the settings says.")
    ] = False,
) -> None:
    """Show what is wrong and what to do, a line per trouble. The exit code is 1 if there is any, and 2 if somebody
    could not be told.
    """
    from callmart.operations import health

    found = health.look(settings())
    if as_json:
        print_json({"troubles": [asdict(one) for one in found.troubles]})
    else:
        for trouble in found.troubles:
            out.print(plain(trouble))
        if not found.troubles:
            out.print("healthy")
    if not _tell(settings(), found, alert=alert):
        raise typer.Exit(MISTAKE)
    raise typer.Exit(UNDONE if found.troubles else 0)


def report_run(wanted: Settings, *, is_good: bool) -> None:
    """Tell others how callmart is after a run. Whatever can't be told is a warning, and changes nothing of the run."""
    from callmart.operations import alerts, health

    if is_good:
        try:
            alerts.ping(wanted)
        except UserError as failure:
            warn(str(failure))
    has_channel = bool(wanted.alerts.webhook_url or wanted.alerts.mail)
    if wanted.metrics_file or has_channel:
        _tell(wanted, health.look(wanted), alert=has_channel)


def _tell(wanted: Settings, found: "Health", *, alert: bool) -> bool:
    """Write the metrics and send the alarms. Returns whether all of that was done."""
    from callmart.operations import alerts, textfile

    failures = alerts.send(wanted, found) if alert else []
    if wanted.metrics_file:
        try:
            textfile.write(wanted.metrics_file, found, datetime.now(UTC))
        except UserError as failure:
            failures.append(str(failure))
    for one in failures:
        warn(one)
    return not failures
