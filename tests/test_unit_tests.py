"""dbt's own unit tests, which stand beside the models: they run on the embedded server, and none is left out."""

from callmart.base.settings import PROJECT
from conftest import Callmart
from test_store import run_dbt


def test_all_unit_tests_of_the_models_pass(callmart: Callmart) -> None:
    callmart.apply("customers: []\n")
    callmart.build_and_open()  # a unit test takes the columns of its inputs from the tables themselves
    done = run_dbt(callmart, PROJECT, "test", "--select", "test_type:unit")
    assert done.returncode == 0, done.stdout
    written = sum(path.read_text().count("\n    given:\n") for path in PROJECT.glob("models/**/*.yml"))
    assert f"PASS={written} " in done.stdout
