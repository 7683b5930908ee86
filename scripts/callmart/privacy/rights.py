"""Which module carries a right out."""

from collections.abc import Mapping

from callmart.base.errors import UserError
from callmart.base.rights import Right
from callmart.privacy import disclosing, erasing
from callmart.privacy.procedure import Procedure
from callmart.privacy.register import Request

PROCEDURES: Mapping[Right, Procedure] = {
    "erasure": erasing,
    "access": disclosing,
    "portability": disclosing,
}


def procedure_of(request: Request) -> Procedure:
    """What carries a request out. Raises UserError if nothing does."""
    try:
        return PROCEDURES[request.asked_right]
    except KeyError:
        raise UserError(
            f"request {request.number}: callmart can't carry out the right of {request.asked_right} yet; "
            "docs/privacy.md says how a person does it"
        ) from None
