"""The attacks that must fail, as data. The tests and `callmart audit` run the same list.

A *look* queries rows, and may get the attacker's own, or with `own=False` none. An *act* tries something that
PostgreSQL must refuse. The owner runs a control for each attack: a look that finds nothing even for the owner, or a
statement that fails for everybody, proves nothing.
"""

from callmart.audit.attacks import landing, rows, server
from callmart.audit.attacks.attack import Attack

ATTACKS: tuple[Attack, ...] = (*rows.ATTACKS, *server.ATTACKS, *landing.ATTACKS)
