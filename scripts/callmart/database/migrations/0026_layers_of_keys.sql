-- The fingerprints that a customer's key had before rotations added layers to it.
create table registry.former_fingerprint (
    customer_id integer not null references registry.customer on delete cascade,
    key_fingerprint text not null,
    until timestamptz not null default now(),
    primary key (customer_id, key_fingerprint)
);

-- The rotation that is at work, or broke off. The fingerprint in the registry is that of the key with its new layer.
create table ops.rotation (
    one_row boolean primary key default true check (one_row),
    customer_id integer not null,
    begun_at timestamptz not null default now(),
    rows_keyed bigint not null default 0,
    reached text not null default '', -- the table of raw that it has reached
    left_from text -- the first moment there that is left; null if none is
);

-- The keys of a file that are of persons who were erased before a rotation (land/erased.py). Empty outside a landing.
create unlogged table raw.incoming_erased (
    customer_id integer not null,
    kind text not null,
    key text not null,
    tombstone text not null
);
