-- The accounts that callmart has put on a site of Tableau, by LUID, with the LUID of the group that they were in when
-- callmart last published there. If that group is removed, they are ours all the same.
create table registry.account (
    site text not null,
    user_id text not null,
    group_id text not null,
    primary key (site, user_id)
);
