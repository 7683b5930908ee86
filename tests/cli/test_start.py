"""What the program imports before it knows what to do: each command waits for that."""

import subprocess
import sys

HEAVY = {
    "adbc_driver_postgresql",
    "dbt",
    "great_expectations",
    "pandas",
    "tableauhyperapi",
    "tableauserverclient",
}


def test_no_command_waits_for_the_heavy_libraries_of_others() -> None:
    program = "import sys; sys.argv[1:] = ['--version']; from callmart.cli.entry import main\n"
    program += "try: main()\nfinally: print(*{name.partition('.')[0] for name in sys.modules})"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    imported = set(ran.stdout.split())
    assert "psycopg" in imported, "the check isn't blind"
    assert not HEAVY & imported
