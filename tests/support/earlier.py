"""What earlier versions of callmart left behind."""

import tarfile
from pathlib import Path

from callmart.base.settings import PROJECT
from callmart.declarations.exposures import Report

# Emulated Tableau that 85f5234 published to: customer 1042 with four reports, two recipients, their mails, a favorite.
# It is server.json, state.sqlite (after `pragma wal_checkpoint(truncate)`) and files/ of its CALLMART_HOME/emulator.
EMULATOR = PROJECT / "tests" / "data" / "homes" / "85f5234-emulator.tar.xz"


def unpack_emulator(folder: Path) -> None:
    """Puts the state of 85f5234's emulator into `folder`, with the record of one that has stopped."""
    with tarfile.open(EMULATOR) as packed:
        packed.extractall(folder, filter="data")


def before_renaming(report: Report) -> Report:
    """The report as it was declared under its first name."""
    return report.model_copy(update={"name": report.first_name, "renamed_from": []})
