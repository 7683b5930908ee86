"""`python -m callmart.emulator FOLDER`: runs the emulator on the state in FOLDER."""

import sys
from pathlib import Path

from callmart.emulator.process import run
from callmart.errors import UserError

try:
    run(Path(sys.argv[1]))
except UserError as error:
    sys.exit(str(error))
