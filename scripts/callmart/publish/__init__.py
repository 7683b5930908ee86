"""What Tableau holds of each customer, as desired state: declared, read, planned, applied, read back.

Under one project, which the installations on a site share, every customer has a locked project and a group, found
again by their marks (`marks.py`), never by the customer's name. What does not bear this installation's mark is left
alone. The hash of what was published is in its tag, set only when the upload is through; what is ours without the right
tag is published again.
"""

from callmart.publish.actual import Actual, Books, read
from callmart.publish.applying import Outcome, apply
from callmart.publish.desired import DataSource, Mail, Publication, Workbook
from callmart.publish.planning import Plan, Step, plan, shortened

__all__ = [
    "Actual",
    "Books",
    "DataSource",
    "Mail",
    "Outcome",
    "Plan",
    "Publication",
    "Step",
    "Workbook",
    "apply",
    "plan",
    "read",
    "shortened",
]
