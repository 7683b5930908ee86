-- name: memberships
-- Who is a member of which role, with the options. Without the owner, which administers all roles.
select
    r.rolname as role,
    m.rolname as member,
    inherit_option,
    set_option,
    admin_option
from pg_auth_members
inner join pg_roles as r on r.oid = roleid
inner join pg_roles as m on m.oid = member
where m.rolname <> current_user;
