-- What was erased, and must not come back. The ledger outside the database says the same (database/ledger.py).
-- The ledger that this database belongs to, and whether it has had a second copy.
create table privacy.ledger (
    one_row boolean primary key default true check (one_row),
    ledger text not null, -- its id
    has_copy boolean not null default false
);

-- The entries of the ledger. When the tombstones of one have ended, only its place in the chain is left.
create table privacy.ledger_entry (
    entry bigint primary key,
    commitment text not null,
    digest text not null,
    salt text,
    customer_id integer,
    kind text check (kind in ('agent', 'caller', 'contact', 'recipient')),
    until timestamptz,
    at timestamptz,
    request bigint,
    ended_at timestamptz,
    check ((ended_at is null) = (salt is not null and customer_id is not null and kind is not null)),
    check ((ended_at is null) = (until is not null and at is not null))
);

create table privacy.tombstone (
    entry bigint not null references privacy.ledger_entry,
    customer_id integer not null,
    kind text not null check (kind in ('agent', 'device', 'caller', 'call', 'contact', 'recipient')),
    tombstone text not null, -- leads to nobody without the data
    until timestamptz not null, -- what came later is not concerned
    primary key (customer_id, tombstone, entry)
);

create index tombstone_by_entry on privacy.tombstone (entry);

-- The secret of a customer's tombstones. It follows from the customer's key, which it does not show.
create table privacy.secret (
    customer_id integer primary key,
    secret bytea not null
);

-- The customers that are closed, because ledger and database differ.
create table privacy.closed (
    customer_id integer primary key,
    cause text not null check (cause in ('differs', 'unreadable'))
);

-- A row of a file that the loader has found to be of somebody who was erased: `call` if of an erased call, `part` if a
-- number or a target was left out, or a key that stands for the erased agent in its call.
alter table raw.incoming add column erased text;

alter table raw.file add column erased bigint; -- rows of the erased that were left out
