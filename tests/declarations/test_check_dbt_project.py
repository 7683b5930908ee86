"""What dbt_project.yml says of all models is as safe as what they may say of themselves."""

import re
from pathlib import Path

import pytest

from callmart.declarations import dbt_keys
from wrong_project import WrongProject, wrong_project

MARTS = "      +schema: store\n"
# What takes a protection away, each in the place of a text, with what is said of it.
UNSAFE = {
    "rights for everybody": (
        MARTS,
        f"{MARTS}      +grants: {{select: [public]}}\n",
        "its group decides who reads it",
    ),
    **{
        hook: (
            MARTS,
            f"{MARTS}      {hook}: grant select on x to public\n",
            "it could open what the policies close",
        )
        for hook in ("+pre-hook", "+post-hook", "post-hook", "+post_hook")
    },
    "a statement before the query": (
        MARTS,
        f"{MARTS}      +sql_header: set x = 1;\n",
        "it would run before the query",
    ),
    "a hook of one model": (
        "      stg_agent:\n",
        "      stg_agent:\n        +post-hook: select 1\n",
        "it could open what the policies close",
    ),
    "types that nobody enforces": (
        "+contract: {enforced: true}",
        "+contract: {enforced: false}",
        "a mart's types are always enforced",
    ),
    "another schema": (
        MARTS,
        "      +schema: public\n",
        "write build, store or usage: elsewhere nobody compares rights",
    ),
    "one more thing at the end": (
        'on-run-end: "{{ end_build(results) }}"',
        'on-run-end: ["{{ end_build(results) }}", grant select on x to public]',
        'write on-run-end: "{{ end_build(results) }}", and nothing else',
    ),
    "models elsewhere": (
        "model-paths: [models]",
        "model-paths: [models, more]",
        'write model-paths: ["models"], and nothing else: nothing looks at models elsewhere',
    ),
    "nothing at the beginning": (
        'on-run-start: "{{ begin_build() }}"\n',
        "",
        'write on-run-start: "{{ begin_build() }}", and nothing else',
    ),
}


@pytest.mark.parametrize("what", UNSAFE)
def test_what_no_model_may_say_is_refused_of_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    project: WrongProject = wrong_project(tmp_path, monkeypatch)
    old, new, said = UNSAFE[what]
    project.change("dbt_project.yml", old, new)
    (found,) = project.check()
    number, _, sentence = found.removeprefix("dbt_project.yml line ").partition(": ")
    lines = (project.folder / "dbt_project.yml").read_text("utf-8").splitlines()
    assert said in sentence
    assert lines[int(number) - 1].strip() in (new if new else lines[0])


def test_every_schema_has_its_rights_compared() -> None:
    from callmart.access import rights

    assert set(dbt_keys.SCHEMAS) < set(rights.SCHEMAS)


@pytest.mark.parametrize("written", ["", "- a\n", "models: [\n"], ids=["empty", "a list", "no YAML"])
def test_what_is_no_project_is_refused_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str
) -> None:
    project: WrongProject = wrong_project(tmp_path, monkeypatch)
    (project.folder / "dbt_project.yml").write_text(written)
    assert re.match(r"dbt_project\.yml line \d: ", project.check()[0])
