"""`python -m tableau_emulator FOLDER`: runs the emulator on the state in FOLDER."""

import sys
from pathlib import Path

from tableau_emulator.process import EmulatorError, run

try:
    run(Path(sys.argv[1]))
except EmulatorError as error:
    sys.exit(str(error))
