-- In the order of lists, of which a page is read at a time.

create index workbook_listed on workbook (site_id, created_at, name);
create index datasource_listed on datasource (site_id, created_at, name);
create index view_listed on "view" (site_id)
where not hidden;
