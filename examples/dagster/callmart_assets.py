"""callmart's stages as assets of Dagster. Each asset runs its command, after those that it needs: see README.md."""

import os
import subprocess
from pathlib import Path

import dagster as dg

CALLMART = os.environ.get("CALLMART", "callmart")  # the command
INBOX = Path(os.environ.get("INBOX", "inbox"))  # a folder of raw files, each of them complete

DONE, LEFT_TO_DO = 0, 1  # exit codes; with any other, nothing was done


def run(context: dg.AssetExecutionContext, *words: str | Path) -> dg.MaterializeResult:
    """Run a command of callmart. What it holds back or leaves to do is a warning; a refusal fails the asset."""
    done = subprocess.run([CALLMART, *words], capture_output=True, text=True, check=False)
    complaints = done.stderr.strip()
    if done.returncode not in (DONE, LEFT_TO_DO):
        raise dg.Failure(complaints.rpartition("\n")[2] or f"callmart ended with {done.returncode}")
    if done.returncode == LEFT_TO_DO:
        context.log.warning(complaints or done.stdout)
    return dg.MaterializeResult(
        metadata={"said": done.stdout.strip(), "left to do": done.returncode == LEFT_TO_DO}
    )


@dg.asset
def expired(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """What is older than two years is gone."""
    return run(context, "expire")


@dg.asset(deps=[expired])
def raw_events(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """The events of the files in the inbox. A file that has landed before is passed over."""
    files = sorted(file for file in INBOX.iterdir() if file.is_file())
    if files:
        run(context, "land", *files)
    return dg.MaterializeResult(metadata={"files": len(files)})  # not their names, which can hold a number


@dg.asset(deps=[raw_events])
def computed_days(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """The days that changed, computed by dbt. Nobody sees them yet."""
    return run(context, "build")


@dg.asset(deps=[computed_days])
def checked_days(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """What Great Expectations says of them."""
    return run(context, "validate")


@dg.asset(deps=[checked_days])
def open_days(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """The marts, with the days that passed their checks."""
    return run(context, "open")


@dg.asset(deps=[open_days])
def extracts(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """A .hyper file per customer and group of marts."""
    return run(context, "extract")


@dg.asset(deps=[extracts])
def publication(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """What Tableau holds. A customer that would lose everything, or unmarked content, needs a person: publish --yes."""
    return run(context, "publish")


@dg.asset(deps=[publication])
def mails(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """The weekly reports that are due."""
    return run(context, "mail")


ASSETS = [expired, raw_events, computed_days, checked_days, open_days, extracts, publication, mails]
nightly = dg.define_asset_job("nightly", selection=ASSETS, executor_def=dg.in_process_executor)

defs = dg.Definitions(
    assets=ASSETS,
    jobs=[nightly],
    schedules=[
        dg.ScheduleDefinition(job=nightly, cron_schedule="0 3 * * *", execution_timezone="Europe/Amsterdam")
    ],
)
