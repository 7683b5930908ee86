-- Replaces persons by keys, and gives each event a key of its own. `judged` stands for the query that judges them.

-- name: macros
create macro layered(inner_key, outer_key, text) as
left(sha256(outer_key || unhex(sha256(inner_key || encode(text)))), 32);

create macro keyed(inner_key, outer_key, kind, value) as
layered(inner_key, outer_key, kind || ':' || value);

-- The 64 bits that anybody can compute: those of md5_number_lower, which takes five times as long.
create macro digest(text) as (md5_number(text) >> 64)::ubigint;

create macro signed(number) as (number::hugeint - 9223372036854775808)::bigint;

create macro unsigned(number) as (number::hugeint + 9223372036854775808)::ubigint;

-- The key of a call or an event, as in keys.keyed_number.
create macro keyed_number(prefix, number) as
signed(('0x' || left(sha256(prefix || encode(number::varchar)), 16))::ubigint);

-- name: keyed_events
-- One row per judged row, as it is stored, with its `fault`, and with `agent` and `nameable` to name agents.
with checked as materialized (
    select * from ({judged})
),

-- Every value that is stored as a key.
keyable as (
    select
        customer_id,
        'agent' as kind,
        agent as value
    from checked
    union all
    select
        customer_id,
        'number',
        number
    from checked
    union all
    select
        customer_id,
        'device',
        line
    from checked
    union all
    select
        customer_id,
        kind,
        coalesce(target_number, target)
    from checked
    where kind in ('agent', 'number')
    union all
    select
        customer_id,
        'status',
        own_word
    from checked
),

-- Computing keys is the most expensive step, so each person's key is computed once.
persons as (
    select distinct
        customer_id,
        kind,
        value
    from keyable
    where value is not null
),

keys as (
    select
        customer_id,
        kind,
        value,
        keyed(inner_key, outer_key, kind, value) as key
    from persons
    inner join secrets using (customer_id)
),

named as (
    select distinct
        customer_id,
        unnest([queue, case when is_line then line end, case when kind = 'queue' then target end]) as name
    from checked
),

-- The names of queues and lines that look like telephone numbers.
names as (
    select
        customer_id,
        name,
        keyed(inner_key, outer_key, 'number', number_in_name(name)) as key
    from named
    inner join secrets using (customer_id)
    where looks_like_number(name)
),

stored as (
    select
        file_number,
        line_number,
        fault,
        nameable,
        event_id,
        agent,
        words.key as word_key,
        checked.customer_id,
        occurred_at,
        event_id is not null as identified,
        service as platform,
        event,
        case when of_call then digest(service || ':' || call_id) end as call_number,
        call_id,
        queue,
        agents.key as agent_key,
        numbers.key as number_key,
        case
            when not tells_number then null
            when withheld then true
            when number is not null then false
            else marked_withheld
        end as number_withheld,
        case when is_line then line end as line,
        case when not is_line then devices.key end as device_key,
        case when event = 'call_started' then direction end as direction,
        case when event = 'agent_status' or len(reasons) > 0 then cause end as reason,
        case when checked.kind = 'queue' then target end as target,
        targets.key as target_key,
        checked.kind as target_kind,
        case when ends_phase then duration + 0.0 end as duration_s, -- no -0.0
        wait_s::double as wait_s,
        case when event = 'call_ended' then truth(recorded) end as recorded
    from checked
    left join keys as agents
        on checked.customer_id = agents.customer_id and agents.kind = 'agent' and checked.agent = agents.value
    left join keys as numbers
        on checked.customer_id = numbers.customer_id and numbers.kind = 'number' and checked.number = numbers.value
    left join keys as devices
        on checked.customer_id = devices.customer_id and devices.kind = 'device' and checked.line = devices.value
    left join keys as targets
        on checked.customer_id = targets.customer_id
        and checked.kind = targets.kind
        and coalesce(checked.target_number, checked.target) = targets.value
    left join keys as words
        on checked.customer_id = words.customer_id and words.kind = 'status' and checked.own_word = words.value
),

-- What an event is known by: its id at the source, or else all that it says. This never changes, because the keys of
-- what is stored follow from it. The separator is safe: no text is empty or holds a control character. A status is
-- known by the source's word, as the registry can change how it is stored.
numbered as (
    select
        *,
        digest(case
            when identified then keyed(inner_key, outer_key, 'event', platform || ':' || event_id)
            else concat(
                customer_id, chr(31),
                epoch_us(occurred_at), chr(31),
                platform, chr(31),
                event, chr(31),
                signed(call_number), chr(31),
                call_id, chr(31),
                queue, chr(31),
                agent_key, chr(31),
                number_key, chr(31),
                number_withheld, chr(31),
                line, chr(31),
                device_key, chr(31),
                direction, chr(31),
                coalesce(word_key, reason), chr(31),
                target, chr(31),
                target_key, chr(31),
                target_kind, chr(31),
                duration_s, chr(31),
                wait_s, chr(31),
                recorded
            )
        end) as event_number
    from stored
    left join secrets using (customer_id) -- a faulty row can name no customer
)

select
    file_number,
    line_number,
    fault,
    nameable,
    agent,
    numbered.customer_id,
    occurred_at,
    keyed_number(event_prefix, event_number) as event_key,
    platform,
    event,
    keyed_number(call_prefix, call_number) as call_key,
    coalesce(queues.key, numbered.queue) as queue,
    agent_key,
    number_key,
    number_withheld,
    coalesce(lines.key, numbered.line) as line,
    device_key,
    direction,
    reason,
    coalesce(targets.key, numbered.target) as target,
    target_key,
    target_kind,
    duration_s,
    wait_s,
    recorded,
    identified
from numbered
left join names as queues on numbered.customer_id = queues.customer_id and numbered.queue = queues.name
left join names as lines on numbered.customer_id = lines.customer_id and numbered.line = lines.name
left join names as targets on numbered.customer_id = targets.customer_id and numbered.target = targets.name;

-- name: with_layer
-- A batch with one more layer on its keys. `admitted` is the batch, `layer` has the customers whose key has that layer.
-- A name that has the form of a key is one. What the server gives a random key needs none.
with persons as (
    select distinct
        customer_id,
        unnest([agent_key, number_key, device_key, target_key, queue, line, target]) as former
    from admitted
    inner join layer using (customer_id)
),

keys as (
    select
        customer_id,
        former,
        layered(inner_key, outer_key, former) as key
    from persons
    inner join layer using (customer_id)
    where regexp_full_match(former, '[0-9a-f]{32}')
)

select
    e.* replace (
        case
            when layer.prefix is null or e.erased is not null then e.event_key
            else keyed_number(layer.prefix, unsigned(e.event_key))
        end as event_key,
        coalesce(keyed_number(layer.prefix, unsigned(e.call_key)), e.call_key) as call_key,
        coalesce(agents.key, e.agent_key) as agent_key,
        coalesce(numbers.key, e.number_key) as number_key,
        coalesce(devices.key, e.device_key) as device_key,
        coalesce(target_keys.key, e.target_key) as target_key,
        coalesce(queues.key, e.queue) as queue,
        coalesce(lines.key, e.line) as line,
        coalesce(targets.key, e.target) as target
    )
from admitted as e
left join layer on e.customer_id = layer.customer_id
left join keys as agents on e.customer_id = agents.customer_id and e.agent_key = agents.former
left join keys as numbers on e.customer_id = numbers.customer_id and e.number_key = numbers.former
left join keys as devices on e.customer_id = devices.customer_id and e.device_key = devices.former
left join keys as target_keys on e.customer_id = target_keys.customer_id and e.target_key = target_keys.former
left join keys as queues on e.customer_id = queues.customer_id and e.queue = queues.former
left join keys as lines on e.customer_id = lines.customer_id and e.line = lines.former
left join keys as targets on e.customer_id = targets.customer_id and e.target = targets.former;
