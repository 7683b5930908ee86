"""What the tests of explained numbers share."""

from collections.abc import Iterator

import pytest

from callmart.base.settings import Settings
from callmart.declarations import dbt_project


@pytest.fixture(scope="module", autouse=True)
def compiled_once() -> Iterator[None]:
    """dbt compiles the same models to the same SQL, which takes longer than to run it; here once per module."""
    compiled, known = dbt_project.compiled, dict[tuple[str, str], list[dbt_project.Compiled]]()

    def compile_once(settings: Settings, chosen: str, schema: str) -> list[dbt_project.Compiled]:
        if (chosen, schema) not in known:
            known[chosen, schema] = compiled(settings, chosen, schema)
        return known[chosen, schema]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dbt_project, "compiled", compile_once)
        yield
