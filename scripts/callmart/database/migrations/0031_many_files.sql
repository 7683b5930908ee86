-- Many files land in one transaction. The number tells which of them a row is of.
alter table raw.incoming add column file_number integer not null default 1;
alter table raw.incoming_reject add column file_number integer not null default 1;

-- The customers of a file's rows, also of those that were turned away; null stands for customers that the registry did
-- not know. The column is null for files that landed before it was there.
alter table raw.file add column customers integer[];

-- What a file was when its content was last known to have landed. It is known again by that, without being read.
create table raw.file_look (
    path_key text not null,
    asked text not null,
    look text not null, -- place, size and times, as the file system has them
    file_id bigint not null references raw.file on delete cascade,
    primary key (path_key, asked)
);

create index file_look_by_file on raw.file_look (file_id);

-- The version of the registry in which what lets rows of a customer in was last another. Files with rows of the
-- customer that landed before it are read again.
create table registry.gate (
    customer_id integer primary key references registry.customer on delete cascade,
    says text not null, -- a digest
    version integer not null,
    added_in integer not null
);

create index gate_by_addition on registry.gate (added_in);

-- It returns other columns now.
drop function if exists raw.settle_erased();
