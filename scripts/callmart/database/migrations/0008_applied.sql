-- The hash of the text of the files in objects/, time zone included, that were last applied to the database.
create table if not exists access.applied (
    fingerprint text not null
);
