-- name: macros
create macro is_withheld(number) as regexp_full_match(
    lower(trim(number)),
    '[^a-z0-9]*(sips?:)?'
    || '(anonymous|unknown|unavailable|restricted|private|withheld|blocked|anoniem|onbekend|afgeschermd|privé)'
    || '([^a-z].*)?'
);

-- A program that takes numbers for fractions writes `31612345678.0`.
create macro _undecorated(number) as regexp_replace(
    regexp_replace(
        regexp_replace(
            regexp_replace(number, '^(\s*\+?\d+)\.0\s*$', '\1'),
            '[\s./\x{A0}-]', '', 'g'
        ),
        '^(\+31|0031)\(0\)', '\1'
    ),
    '[()]', '', 'g'
);

-- At most one of the three applies. Nine digits are a Dutch number without its 0, as a program writes it that takes
-- numbers for amounts, and ISDN for the caller.
create macro _international(digits) as regexp_replace(
    regexp_replace(
        regexp_replace(digits, '^00', '+'),
        '^0([1-9]\d{6,})$|^([1-9]\d{8})$', '+31\1\2'
    ),
    '^(31\d{9})$', '+\1'
);

create macro telephone_number(number) as nullif(
    regexp_extract(_international(_undecorated(number)), '^(\+[1-9]\d{6,14}|\d{2,15})$'), ''
);

create macro is_dialled(exten) as
regexp_full_match(exten, '[+0].*|\d{6,}') and telephone_number(exten) is not null;

-- Seven digits or more, whatever spaces and dashes are between them. So that a key is always told from a name, a name
-- that has the form of a key counts as well.
create macro looks_like_number(name) as
regexp_matches(name, '\p{Nd}([\s\p{Zs}\p{Pd}]*\p{Nd}){6}|^[0-9a-f]{32}$');

-- A number has one key however it is written, and any other name its own. Nine digits stay: the registry and what has
-- landed know the name by them.
create macro number_in_name(name) as coalesce(
    nullif(regexp_extract(_undecorated(name), '^[1-9]\d{8}$'), ''), telephone_number(name), name
);

-- name: numbers_in_names
select
    name,
    number_in_name(name) as number
from (select unnest($names::varchar[]) as name) as given
where looks_like_number(name);

-- name: number_of
select telephone_number($word) as number
where telephone_number($word) is not null and not is_withheld($word);
