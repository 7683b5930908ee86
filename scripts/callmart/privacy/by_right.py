"""Says which module carries out a right."""

from collections.abc import Mapping

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
    """What carries a request out."""
    if request.asked_right == "withdrawal" and request.is_by_consent:
        return withdrawing
    return PROCEDURES[request.asked_right]


def makes_package(request: Request) -> bool:
    """Whether carrying a request out makes a package."""
    return procedure_of(request) is disclosing
