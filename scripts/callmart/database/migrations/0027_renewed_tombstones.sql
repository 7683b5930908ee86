-- What a tombstone of an agent is under the keys that rotations gave the agent since. The ledger has it as it was made.
create table privacy.renewed_tombstone (
    customer_id integer not null,
    kind text not null,
    tombstone text not null, -- as in the ledger
    renewed text not null,
    key_fingerprint text not null, -- of the customer's key that it is of
    primary key (customer_id, kind, tombstone, renewed)
);

-- A tombstone in the place of an agent who was erased since has a column of its own: a rotation keys no tombstone anew.
alter table privacy.correction
alter agent_key drop not null,
add column erased text; -- the tombstone of the agent whose events they are, if that one was erased since

update privacy.correction as c
set
    agent_key = null,
    erased = c.agent_key
where exists (
    select from privacy.tombstone as t
    where t.customer_id = c.customer_id and t.kind = 'agent' and t.tombstone = c.agent_key
);

alter table privacy.correction
add check (num_nonnulls(agent_key, erased) = 1);

-- It has the keys of agents who object as well.
alter table raw.incoming_erased rename to incoming_marked;
