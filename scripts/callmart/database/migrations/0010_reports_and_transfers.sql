-- The reports have English names. Recipients still order them by the Dutch ones.
update registry.recipient
set
    reports = array(
        select
            coalesce(
                '{
                    "bereikbaarheid": "accessibility", "drukte": "traffic", "afhandeling": "handling",
                    "medewerkers": "agents"
                }'::jsonb ->> r.name,
                r.name
            )
        from unnest(reports) with ordinality as r (name, place)
        order by r.place
    )
where reports && '{bereikbaarheid,drukte,afhandeling,medewerkers}';

-- Under a standard contract, transfers are hidden where fewer than two agents answered in a queue on a day. Talk has
-- always been, so it is null in just those rows. The next run writes the extracts that held them.
do $$
begin
    if to_regclass('store.queue_interval') is null then -- dbt makes it
        return;
    end if;
    with hidden as (
        update store.queue_interval set transferred_blind = null, transferred_attended = null
        where talk_s is null
        returning customer_id
    )
    update ops.extract set basis = basis - 'opened'
    where mart_group = 'queue' and customer_id in (select customer_id from hidden);
end
$$;
