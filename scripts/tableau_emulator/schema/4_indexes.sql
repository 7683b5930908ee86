-- What is looked up when a user or content is deleted.

create index token_user on token (user_id);
create index session_user on session (user_id);
create index project_owner on project (owner_id);
create index datasource_owner on datasource (owner_id);
create index workbook_owner on workbook (owner_id);
create index favorite_content on favorite (content_id);
create index subscription_content on subscription (content_id);
create index subscription_user on subscription (user_id);
create index task_content on task (content_id);
create index upload_user on upload (user_id);
