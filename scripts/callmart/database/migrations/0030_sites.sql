-- A customer may have a site of its own on Tableau. The books have a row per customer and site, so that they still name
-- the site that a customer has left. The site '' is the one that customers share, which the settings name.
alter table registry.customer add column tableau_site text; -- as in the site's URLs

alter table ops.publication
add column site text not null default '',
drop constraint publication_pkey,
add primary key (customer_id, site);
