"""`callmart workbook` names the site on which the customer's data source is published."""

from pathlib import Path

from callmart_home import Callmart
from centre import STANDARD
from commands import command_of


def test_a_customer_with_a_site_of_its_own_is_named_that_one(played: Callmart, tmp_path: Path) -> None:
    command, drawn = command_of(played.home), tmp_path / "a.twb"
    for site, named in ((None, "shared"), ("own", "own")):
        with played.connect() as owner:
            owner.execute(
                "update registry.customer set tableau_site = %s where customer_id = %s", [site, STANDARD]
            )
        done = command(
            "workbook",
            "traffic",
            "--customer",
            str(STANDARD),
            "--out",
            drawn,
            CALLMART_TABLEAU__SITE="shared",
        )
        assert done.returncode == 0, done.stderr
        assert f"site='{named}'" in drawn.read_text().replace('"', "'")
