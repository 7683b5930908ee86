"""Says which module carries out a right."""

from collections.abc import Mapping

from callmart.base.errors import UserError
from callmart.base.rights_of_persons import Right
from callmart.privacy import disclosing, erasing, lifting, objecting, renaming, withdrawing
from callmart.privacy.procedure import Procedure
from callmart.privacy.register import Request

PROCEDURES: Mapping[Right, Procedure] = {
    "erasure": erasing,
    "access": disclosing,
    "portability": disclosing,
    "rectification": renaming,  # of a name; whose events are: correcting.Correction
    "objection": objecting,
    "restriction": objecting,
    "withdrawal": objecting,
    "lifting": lifting,
}


def procedure_of(request: Request) -> Procedure:
    """What carries a request out. Raises UserError if nothing does."""
    if request.asked_right == "withdrawal" and request.is_by_consent:
        return withdrawing
    try:
        return PROCEDURES[request.asked_right]
    except KeyError:
        raise UserError(
            f"request {request.number}: callmart can't carry out the right of {request.asked_right} yet; "
            "docs/privacy.md says how a person does it"
        ) from None
