"""The command that says what is wrong, and how others are told: metrics and alarms."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from callmart.base.errors import UserError
from callmart.base.settings import Settings, settings
from callmart.cli.terminal import UNDONE, Json, out, plain, warn

app = typer.Typer()


@app.command("health")
def health_(
    as_json: Json = False,
    alert: Annotated[bool, typer.Option("--alert", help="Send alarms, as [alerts] says.")] = False,
) -> None:
    """Show what is wrong and what to do, a line per trouble. The exit code is 1 if there is any."""
    from callmart.operations import health

    found = health.look(settings())
    if as_json:
        print(json.dumps({"troubles": [asdict(one) for one in found.troubles]}), flush=True)
    else:
        for trouble in found.troubles:
            out.print(plain(trouble), soft_wrap=True)
        if not found.troubles:
            out.print("healthy")
    is_told = _tell(settings(), found, alert=alert)
    raise typer.Exit(UNDONE if found.troubles or not is_told else 0)


def report_run(wanted: Settings, *, is_good: bool) -> None:
    """Tell others how callmart is after a run. Whatever can't be told is a warning, and changes nothing of the run."""
    from callmart.operations import alerts, health

    if is_good:
        try:
            alerts.ping(wanted)
        except UserError as failure:
            warn(str(failure))
    if wanted.metrics_file or wanted.alerts.webhook_url or wanted.alerts.mail:
        _tell(wanted, health.look(wanted), alert=True)


def _tell(wanted: Settings, found: Any, *, alert: bool) -> bool:
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
