import pytest, shutil
from pathlib import Path
pytestmark = [pytest.mark.dated, pytest.mark.usefixtures("unchecked")]
def test_keep(two_weeks):
    shutil.rmtree("/tmp/devhome", ignore_errors=True)
    two_weeks.save(Path("/tmp/devhome"))
