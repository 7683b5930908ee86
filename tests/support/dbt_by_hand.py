"""dbt as a person runs it, in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

from callmart_home import Callmart


def run_dbt(callmart: Callmart, project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """dbt as a person runs it, on this callmart's server."""
    scratch = callmart.home / "by hand"
    # A build in this process, of a callmart elsewhere, leaves its server's port there.
    kept = {name: value for name, value in os.environ.items() if "CALLMART_PG" not in name}
    return subprocess.run(
        [
            Path(sys.executable).parent / "dbt",
            *arguments,
            f"--project-dir={project}",
            f"--profiles-dir={project}",
            f"--target-path={scratch}",
            f"--log-path={scratch}",
        ],
        env=kept | {"CALLMART_PG_HOST": str(callmart.home / "socket")},
        capture_output=True,
        text=True,
        check=False,
    )
