-- Keys, and the names that keys stand in for.

-- Whether a text has the form of a pseudonym (keys.py): 128 bits in hex. It is called for each key of a file, so it
-- looks for what no key has: to match all 32 characters takes seven times as long.
create or replace function raw.is_key(key text) returns boolean
immutable
parallel safe
return octet_length(key) = 32 and key !~ '[^0-9a-f]';

-- Whether a name of a queue or line looks like a telephone number, and so may come as its key only (telephone.sql).
create or replace function raw.shows_number(name text) returns boolean
stable
parallel safe
return octet_length(name) > 6 and name ~ '[0-9]([-[:space:]]*[0-9]){{6}}' and not raw.is_key(name);

-- What reports call a queue or line. Of a name that looks like a telephone number the events have only the key; it is
-- shown if the registry has it as the customer's own.
create or replace function registry.name_shown(customer integer, name text) returns text
stable
return case
    when not raw.is_key(name) then name
    else coalesce(
        (
            select min(own.name)
            from (
                select q.queue as name
                from registry.queue as q
                where q.customer_id = customer and q.queue_key = name_shown.name
                union all
                select l.line
                from registry.line as l
                where l.customer_id = customer and l.line_key = name_shown.name
            ) as own
        ),
        'number-' || left(name, 10)
    )
end;
