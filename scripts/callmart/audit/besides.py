"""What customers may read besides the marts, and a value of each column there that another customer has.

The catalogue tells what they may read, so that what somebody grants later is asked as well. The values come from what
customers read, not from tables: of a view nobody has declared where its rows come from.
"""

from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

import psycopg
from psycopg import sql

from callmart.access.rights import shown_in
from callmart.audit.channels import session_of
from callmart.audit.planner import NEXT, Secret
from callmart.audit.scene import Attacker, Scene, attackers
from callmart.base import sql_file
from callmart.base.settings import Settings

SQL = sql_file.statements(__file__)

SOME = 20  # rows that are read as each customer but the asker

Values = Mapping[str, list[tuple[str, str]]]  # by column: the values, each with the next one


@dataclass
class Besides:
    """A relation that customers read besides the marts, and what all but the first of them read there."""

    relation: str
    asker: Attacker
    types: Mapping[str, str]
    others: dict[str, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))

    def secrets(self, session: psycopg.Connection) -> list[Secret]:
        """A secret of each column, as the asker: a value that another customer has there, and the next one, of which
        neither is the asker's.
        """
        found = []
        own = read(session, self.relation, self.types, "all")
        for column, type in self.types.items():
            anothers, mine = self.others[column], {value for value, _ in own[column]}
            pairs = (
                pair for pair in sorted(anothers.items()) if mine.isdisjoint(pair) and pair[1] not in anothers
            )
            if pair := next(pairs, None):
                found.append(Secret(column, type, *pair, *self._greatest(session, column)))
        return found

    def _greatest(self, session: psycopg.Connection, column: str) -> tuple[str | None, str | None]:
        """The greatest value that another customer has, and the next one, if the asker has none as great."""
        name, type = sql.Identifier(column).as_string(), self.types[column]
        greatest = session.execute(
            f"select v::text, ({NEXT[type].format(value='v')})::text from unnest(%s::text[]::{type}[]) as v"
            f" where not exists (select 1 from {self.relation} as m where m.{name} >= v) order by v desc limit 1",
            [[*self.others[column]]],
        ).fetchone()
        return greatest or (None, None)


def besides(owner: psycopg.Connection, settings: Settings, scene: Scene) -> list[Besides]:
    """Find what customers may read besides the marts, and read some rows of it as each of them."""
    of_marts = [relation for mart in scene.all_marts for relation in shown_in(mart)]
    found: dict[str, Besides] = {}
    for attacker in (one for one in attackers(scene) if one.customer):
        relations = owner.execute(
            SQL["readable"], {"role": attacker.role, "types": [*NEXT], "of_marts": of_marts}
        ).fetchall()
        with session_of(settings, attacker) as session:
            if session is None:
                continue  # the check of logins reports it
            for relation, columns, types in relations:
                if relation not in found:
                    found[relation] = Besides(relation, attacker, dict(zip(columns, types, strict=True)))
                    continue
                with suppress(psycopg.Error):  # what this customer has there is not asked for, then
                    for column, pairs in read(session, relation, found[relation].types, str(SOME)).items():
                        found[relation].others[column].update(pairs)
    return list(found.values())


def read(session: psycopg.Connection, relation: str, types: Mapping[str, str], limit: str) -> Values:
    """The values that a session reads in each column of a relation, each with the next value."""
    columns = []
    for column, type in types.items():
        name = sql.Identifier(column).as_string()
        columns.append(
            f"array_agg(distinct array[{name}::text, ({NEXT[type].format(value=name)})::text])"
            f" filter (where {name} is not null)"
        )
    ((*values,),) = session.execute(
        f"select {', '.join(columns)} from (select * from {relation} limit {limit}) as m"
    ).fetchall()
    return {
        column: [(value, successor) for value, successor in found or ()]
        for column, found in zip(types, values, strict=True)
    }
