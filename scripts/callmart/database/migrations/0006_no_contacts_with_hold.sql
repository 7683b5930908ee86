-- Contacts with a hold are no longer counted as a function: beside holds and answers they revealed too much.
delete from raw.function_use
where function = 'hold_contact';

do $$
begin
    if to_regclass('usage.function_month') is not null then -- dbt makes it
        delete from usage.function_month
        where function = 'hold_contact';
    end if;
end
$$;
