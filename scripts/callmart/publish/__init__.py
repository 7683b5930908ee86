"""What Tableau holds of each customer, as desired state: declared, read, planned, applied, read back.

Under one project of ours every customer has a locked project and a group, found again by their marks, never
by the customer's name. The hash of what was published is its tag, set only when the upload is through; what is
ours without the right tag is published again.
"""

from callmart.publish.actual import Actual, read
from callmart.publish.applying import Outcome, apply
from callmart.publish.desired import DataSource, Mail, Publication, Workbook
from callmart.publish.planning import Plan, Step, plan, shortened

__all__ = [
    "Actual",
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
