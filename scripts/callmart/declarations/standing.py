"""Standing: the marts' tables as the catalogue has them, whether the project still declares them or not.

What keeps the promises (expiry, contracts) goes by these: a mart whose files were taken away keeps its rows.
"""

from collections.abc import Iterable

import psycopg

from callmart.declarations.dbt_project import Column, Mart

SCHEMA = "store"  # in which the tables stand
SHOWN = "mart"  # in which people read them


def marts(connection: psycopg.Connection) -> list[Mart]:
    """All tables among the marts. The group is that of its policy, '' where it has none; the day is what it is
    partitioned by, or else the one date in its key.
    """
    return [
        # As it stands, whatever a declaration would have to say.
        Mart.model_construct(
            name=name,
            group=group or "",  # type: ignore[arg-type]
            key=tuple(key),
            day=day,
            declared=tuple(Column(name=column, data_type=data_type) for column, data_type in columns),
        )
        for name, group, key, day, columns in connection.execute(
            """
            with key_column as (
                select indrelid as relation, attname, atttypid, array_position(indkey::smallint[], attnum) as place
                from pg_index join pg_attribute on attrelid = indrelid and attnum = any(indkey)
                where indisprimary
            )

            select
                c.relname,
                (
                    select substring(rolname from '_([a-z]+)$')
                    from pg_policy join pg_roles on pg_roles.oid = any(polroles)
                    where polrelid = c.oid and polname = 'own_rows'
                ),
                array(select attname::text from key_column where relation = c.oid order by place),
                coalesce(
                    (
                        select attname
                        from pg_partitioned_table join pg_attribute on attrelid = partrelid and attnum = partattrs[0]
                        where partrelid = c.oid and partstrat = 'r' and atttypid = 'date'::regtype
                    ),
                    (
                        select min(attname::text) from key_column
                        where relation = c.oid and atttypid = 'date'::regtype having count(*) = 1
                    )
                ),
                array(
                    select array[attname::text, format_type(atttypid, atttypmod)] from pg_attribute
                    where attrelid = c.oid and attnum > 0 and not attisdropped order by attnum
                )
            from pg_class as c
            where relnamespace = %s::regnamespace and relkind in ('r', 'p') and not relispartition
            order by 1
            """,
            [SCHEMA],
        )
    ]


def of_customers(connection: psycopg.Connection) -> list[Mart]:
    """The tables that hold customers' rows: a table without customers among the marts is none of callmart's."""
    return [mart for mart in marts(connection) if "customer_id" in mart.columns]


def undeclared(connection: psycopg.Connection, declared: Iterable[Mart]) -> list[Mart]:
    """The tables that no mart of the project declares."""
    names = {mart.name for mart in declared}
    return [mart for mart in marts(connection) if mart.name not in names]


def are_as_declared(connection: psycopg.Connection, declared: Iterable[Mart]) -> bool:
    """Whether every mart has its table, with the columns, the key, the group and the day that it declares."""
    there = {mart.name: _shape(mart) for mart in marts(connection)}
    return all(there.get(mart.name) == _shape(mart) for mart in declared)


def _shape(mart: Mart) -> tuple[object, ...]:
    return mart.types, mart.key, mart.group, mart.day


def remark(mart: Mart) -> str:
    """What is said of a table that no mart declares."""
    return (
        f"{SHOWN}.{mart.name} is not declared by the project any more: "
        f"put its files back, or run `callmart retire {mart.name}`"
    )
