-- What was erased, and must not come back. The ledger outside the database says the same (database/ledger.py).
create schema if not exists privacy;

-- The ledger that this database belongs to, and whether it has had a second copy.
create table if not exists privacy.ledger (
    one_row boolean primary key default true check (one_row),
    ledger text not null,
    has_copy boolean not null default false
);
comment on column privacy.ledger.ledger is 'person: nobody. The id of the ledger.';

-- The entries of the ledger. When the tombstones of one have ended, only its place in the chain is left.
create table if not exists privacy.ledger_entry (
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
comment on column privacy.ledger_entry.commitment is 'person: nobody. The salted digest of the body.';
comment on column privacy.ledger_entry.digest is 'person: nobody. What the next entry follows.';
comment on column privacy.ledger_entry.salt is 'person: nobody.';
comment on column privacy.ledger_entry.kind is 'person: nobody. Of whom the entry is.';

create table if not exists privacy.tombstone (
    entry bigint not null references privacy.ledger_entry,
    customer_id integer not null,
    kind text not null check (kind in ('agent', 'device', 'caller', 'call', 'contact', 'recipient')),
    tombstone text not null,
    until timestamptz not null, -- what came later is not concerned
    primary key (customer_id, tombstone, entry)
);
comment on column privacy.tombstone.kind is 'person: nobody.';
comment on column privacy.tombstone.tombstone is 'person: nobody. An HMAC that leads to nobody without the data.';

create index if not exists tombstone_by_entry on privacy.tombstone (entry);

-- The secret of a customer's tombstones. It follows from the customer's key, which it does not show.
create table if not exists privacy.secret (
    customer_id integer primary key,
    secret bytea not null
);
comment on column privacy.secret.secret is 'person: nobody.';

-- The customers that are closed, because ledger and database differ.
create table if not exists privacy.closed (
    customer_id integer primary key,
    cause text not null check (cause in ('differs', 'unreadable'))
);
comment on column privacy.closed.cause is 'person: nobody.';

-- A row of a file that the loader has found to be of somebody who was erased: `call` if of an erased call, `part` if a
-- number or a target was left out, or a key that stands for the erased agent in its call.
alter table raw.incoming add column if not exists erased text;
comment on column raw.incoming.erased is 'person: nobody.';

alter table raw.file add column if not exists erased bigint; -- rows of the erased that were left out
