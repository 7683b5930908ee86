-- Files of which a part was taken in and that are not kept yet: a transaction that leaves one can't be committed.
create table raw.file_unfinished (
    file_id bigint primary key references raw.file deferrable initially deferred
);
