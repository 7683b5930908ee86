"""`callmart check`: of each wrong declaration the file, the line and the remedy, all at once, and nothing else.

Each case has a declaration that is right, what is changed in it, and what is said: the line, and a part of it.
"""

from pathlib import Path

import pytest

from callmart.declarations import model_sql
from wrong_project import Case, WrongProject, changed, expect, wrong_project


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WrongProject:
    return wrong_project(tmp_path, monkeypatch)


MART = """\
version: 2

models:
  - name: NAME
    description: One row per queue and day.
    config:
      meta:
        group: queue
        key: [customer_id, call_date, queue]
        day: call_date
        suite: none
    columns:
      - {name: customer_id, data_type: integer, description: The customer.}
      - {name: call_date, data_type: date, description: The day.}
      - name: queue
        data_type: text
        description: The queue.
        config: {meta: {person: nobody}}
      - name: things
        data_type: integer
        description: Things.
"""

NO_QUERY = "select * from {{ ref('stg_day') }}\n"  # of which nothing is said

MARTS: dict[str, Case] = {
    "a key of the mart": (
        "day: call_date",
        "day: call_date\n        reach_day: 6",
        "11: reach_day: unknown key; write reach_days, or",
    ),
    "a key of the model": (
        "    description: One",
        "    descripton: One",
        "5: descripton: unknown key; write description",
    ),
    "a key of its config": (
        "      meta:\n",
        "      materialised: store\n      meta:\n",
        "7: materialised: unknown key; write materialized",
    ),
    "a key of a column's config": (
        "config: {meta",
        "config: {metta: 1, meta",
        "18: metta: unknown key; write meta, or another of tags",
    ),
    "a person": ("person: nobody", "person: agnet", "18: write agent"),
    "a person of another group": (
        "person: nobody",
        "person: agent",
        "15: may not show a person (agent): remove the column queue from the file, or",
    ),
    "no person": (
        "\n        config: {meta: {person: nobody}}",
        "",
        "15: config: {meta: {person: nobody}}: whom its values point to",
    ),
    "a group": (
        "group: queue",
        "group: queu",
        "4: add to the file config.meta.group: one of queue, line, agent, contact",
    ),
    "no group": ("        group: queue\n", "", "4: add to the file config.meta.group: one of queue"),
    "no key": (
        "        key: [customer_id, call_date, queue]\n",
        "",
        "4: config.meta.key: the columns of its grain, customer_id first",
    ),
    "the customer not first": (
        "[customer_id, call_date, queue]",
        "[call_date, customer_id, queue]",
        "4: customer_id first",
    ),
    "a column of the key": (
        "call_date, queue]",
        "call_date, queu]",
        "4: a column queu: its key or day names it; or write queue there",
    ),
    "no day": ("        day: call_date\n", "", "4: config.meta.day: the column of its local day, or none"),
    "the day is not in the key": (
        "call_date, queue]",
        "queue]",
        "4: add to the file call_date to config.meta.key",
    ),
    "days back without days": (
        "day: call_date",
        "day: none\n        reach_days: 6",
        "4: remove config.meta.reach_days",
    ),
    "days back in words": (
        "day: call_date",
        "day: call_date\n        reach_days: six",
        "11: reach_days: Input should be a valid integer",
    ),
    "a suite in words": ("suite: none", "suite: nnoe", "11: config.meta.suite: `none`, or leave it out"),
    "a type": ("data_type: text", "data_type: txet", "16: a mart can't have this type; write text, or"),
    "a type that Tableau lacks": (
        "- name: things\n        data_type: integer",
        "- name: things\n        config: {meta: {person: nobody}}\n        data_type: numeric",
        "21: a mart can't have this type; write one of smallint",
    ),
    "no type": ("name: things\n        data_type: integer", "name: things", "19: data_type: Field required"),
    "a caption in one language": (
        "description: Things.",
        "description: Things.\n        config: {meta: {caption: {nl: Dingen}}}",
        "22: caption.en: Field required",
    ),
    "a caption in no language": (
        "description: Things.",
        "description: Things.\n        config: {meta: {caption: Dingen}}",
        "22: caption: Input should be a valid dictionary; write keys beneath it: nl, en",
    ),
    "a caption in a third": (
        "description: Things.",
        "description: Things.\n        config: {meta: {caption: {nl: a, en: b, de: c}}}",
        "22: caption.de: unknown key; write one of nl, en",
    ),
    "a caption of two lines": (
        "description: Things.",
        "description: Things.\n        config: {meta: {caption: {nl: 'a\n\n          b', en: b}}}",
        "22: caption.nl: a line break or another control character is in it; write it in one line, or after `>-`",
    ),
    "a caption that no page has room for": (
        "description: Things.",
        f"description: Things.\n        config: {{meta: {{caption: {{nl: {'a' * 101}, en: b}}}}}}",
        "22: caption.nl: String should have at most 100 characters; shorten it",
    ),
    "a description that nobody reads": (
        "description: Things.",
        f"description: Things.\n        config: {{meta: {{description_nl: {'a' * 1001}}}}}",
        "22: description_nl: String should have at most 1000 characters",
    ),
    "an empty caption": (
        "description: Things.",
        "description: Things.\n        config: {meta: {caption: {nl: '', en: b}}}",
        "22: caption.nl: String should have at least 1 character",
    ),
    "a caption that another mart has": (
        "description: Things.",
        "description: Things.\n      - name: offered\n        data_type: integer\n"
        "        description: x\n        config: {meta: {caption: {nl: c, en: d}}}",
        "22: already has a caption for columns of this name; remove one of the two",
    ),
    "a Dutch description without a caption": (
        "description: Things.",
        "description: Things.\n        config: {meta: {description_nl: a}}",
        "19: a caption to the column things: description_nl needs one",
    ),
    "an English description for people without a caption": (
        "description: Things.",
        "description: Things.\n        config: {meta: {description_en: a}}",
        "19: a caption to the column things: description_en needs one",
    ),
    "nullable and in the key": (
        "{person: nobody}",
        "{person: nobody, nullable: true}",
        "15: remove nullable from the column queue",
    ),
    "the largest of what can be summed": (
        "description: Things.",
        "description: Things.\n        config: {meta: {largest: true}}",
        "19: remove largest from the column things",
    ),
    "a largest value of words": (
        "{person: nobody}",
        "{person: nobody, most: 5}",
        "15: remove least and most from the column queue",
    ),
    "more least than most": (
        "description: Things.",
        "description: Things.\n        config: {meta: {least: 5, most: 2}}",
        "19: correct most of the column things",
    ),
    "a yes in words": (
        "description: Things.",
        "description: Things.\n        config: {meta: {nullable: yes please}}",
        "22: nullable: Input should be a valid boolean",
    ),
    "a type that loses": (
        "description: Things.",
        "description: Things.\n        config: {meta: {widened_from: bigint}}",
        "19: only these lose nothing",
    ),
    "a series of nothing": (
        "suite: none",
        "suite: none\n        series: {things: {up_to: things, caption: {nl: a, en: b}, description_nl: c}}",
        "4: correct config.meta.series.things",
    ),
    "a column twice": (
        "description: Things.",
        "description: Things.\n      - {name: things, data_type: integer, description: x}",
        "22: the column things is there twice",
    ),
    "a key twice": ("group: queue", "group: queue\n        group: queue", "9: a key is given twice"),
    "grants": (
        "      meta:\n",
        "      grants: {select: [public]}\n      meta:\n",
        "7: remove it: its group decides who reads it",
    ),
    "a hook": (
        "      meta:\n",
        "      post-hook: grant select on x to public\n      meta:\n",
        "7: remove it: it could open what the policies close",
    ),
    "no contract": (
        "      meta:\n",
        "      contract: {enforced: false}\n      meta:\n",
        "7: a mart's types are always enforced",
    ),
    "a text that is not there": (
        "description: Things.",
        "description: \"{{ doc('interval_locl') }}\"",
        "21: there is no text interval_locl; write interval_local",
    ),
    "a list for the model": (
        "  - name: NAME",
        "  - [NAME]\n  - name: NAME",
        "4: models.0: not a map; write `- name: …`",
    ),
    "the day is no date": (
        "data_type: date",
        "data_type: integer",
        "14: the column call_date in the file: it must be date",
    ),
    "the customer is a text": (
        "customer_id, data_type: integer",
        "customer_id, data_type: smallint",
        "13: the column customer_id in the file: it must be integer",
    ),
    "a column of the key twice": ("call_date, queue]", "call_date, queue, queue]", "4: queue is there twice"),
    "another version": (
        "version: 2",
        "version: 3",
        "1: version: dbt knows no other version; write `version: 2`",
    ),
    "no description of the mart": (
        "    description: One row per queue and day.\n",
        "",
        "4: add a description: people read it",
    ),
    "no description of a column": (
        "        description: Things.\n",
        "",
        "19: columns.things: add a description",
    ),
    "a test of dbt": (
        "description: Things.",
        "description: Things.\n        data_tests: [not_null]",
        "22: data_tests: remove it: it would stop the days of all customers; write an expectation in expectations/tiny",
    ),
    "switched off": (
        "      meta:\n",
        "      enabled: false\n      meta:\n",
        "7: enabled: remove it: to take out a mart",
    ),
    "another name": (
        "      meta:\n",
        "      alias: x\n      meta:\n",
        "7: alias: remove it: a mart's table has",
    ),
    "made otherwise": (
        "      meta:\n",
        "      materialized: table\n      meta:\n",
        "7: materialized: remove it: dbt_project.yml says what is made of a mart",
        "9: group: unknown key: only a mart has one; remove it",
        "10: key: unknown key: only a mart has one; remove it",
        "11: day: unknown key: only a mart has one; remove it",
        "12: suite: unknown key: only a mart has one; remove it",
    ),
    "another schema": (
        "      meta:\n",
        "      schema: mart\n      meta:\n",
        "7: schema: remove it: dbt_project.yml",
    ),
    "another database": (
        "      meta:\n",
        "      database: x\n      meta:\n",
        "7: database: remove it: dbt_project",
    ),
    "a name in capitals": ("- name: things", "- name: Things", "19: not a name; write small letters"),
    "a word of SQL": ("- name: things", "- name: order", "19: order is a word of SQL; choose another name"),
    "a number for a text": ("description: Things.", "description: 5", "21: put it in quotes"),
    "the caption of another column": (
        "description: Things.",
        "description: Things.\n      - name: others\n        data_type: integer\n"
        "        description: x\n        config: {meta: {caption: {nl: Anderen, en: Queue}}}",
        "22: queue has the same caption; choose another",
    ),
    "a statistic": (
        "      meta:\n",
        "      tags: statistics\n      meta:\n",
        "7: remove statistics: only a statistic over all customers has it",
    ),
    "SQL before the query": (
        "      meta:\n",
        "      sql_header: set role x\n      meta:\n",
        "7: remove it: it would run before the query",
    ),
    "no contract, in words": (
        "      meta:\n",
        "      contract: {enforced: 'false'}\n      meta:\n",
        "7: a mart's types are always enforced",
    ),
    "a former name that is taken": (
        "description: Things.",
        "description: Things.\n        config: {meta: {renamed_from: [queue]}}",
        "19: correct renamed_from of the column things",
    ),
}


def test_a_wrong_mart(project: WrongProject) -> None:
    wanted = {}
    for number, case in enumerate(MARTS.values()):
        name = f"tiny_{number}"
        file = f"models/marts/queue/{name}.yml"
        project.write(file, changed(MART, name, case))
        project.write(f"models/marts/queue/{name}.sql", NO_QUERY)
        wanted[file] = list(case[2:])
    expect(project.check(), wanted)


SQL = """\
with visits as (
    select * from {{ ref('int_visit') }}
),

days as (
    select * from {{ ref('stg_day') }}
)

select
    customer_id,
    call_date,
    {{ name_shown('queue') }} as queue,
    count(*)::integer as things
from visits
inner join days using (customer_id, call_date)
group by customer_id, call_date, queue
"""
QUERIES: dict[str, Case] = {
    "a column less": (
        "    call_date,\n",
        "",
        "9: the query does not return the column call_date, which the YAML declares",
    ),
    "a column more": (
        "as queue,",
        "as queue,\n    max(wait_s) as longest,",
        "9: the YAML does not declare the column longest",
    ),
    "a misspelt column": (
        "as things",
        "as thinks",
        "9: does not return the column things, which the YAML declares; write thinks",
    ),
    "a model": ("'int_visit'", "'int_vist'", "2: there is no model int_vist; write int_visit"),
    "a macro": ("name_shown(", "name_show(", "12: there is no macro name_show; write name_shown"),
    "Jinja": (
        "ref('int_visit') }}",
        "ref('int_visit') }",
        "2: Jinja can't be read here (unexpected '}'); correct it",
    ),
    "a source": (
        "ref('int_visit')",
        "source('raw', 'event')",
        "2: only models of staging read sources; read one of them",
    ),
    "a table by its name": (
        "{{ ref('int_visit') }}",
        "build.int_visit",
        "2: dbt does not see that int_visit is read here; write {{ ref('int_visit') }}",
    ),
    "a semicolon": ("call_date, queue\n", "call_date, queue;\n", "16: remove the semicolon"),
    "a config": (
        "with visits",
        "{{ config(materialized='table') }}\nwith visits",
        "1: move the config into the model's",
    ),
    "a join of customers": (
        "using (customer_id, call_date)",
        "using (call_date)",
        "15: it joins rows of different customers; join by customer_id, too",
    ),
    "another join of customers": (
        "inner join days using (customer_id, call_date)",
        "cross join days",
        "15: it joins rows of different customers",
    ),
    "a join by condition": (
        "using (customer_id, call_date)",
        "on visits.call_date = days.call_date and visits.customer_id > days.customer_id",
        "15: it joins rows of different customers",
    ),
    "a comma": (
        "visits\ninner join days using (customer_id, call_date)",
        "visits, days",
        "14: visits and others are joined by a comma; write a join by customer_id",
    ),
    "a clause in which a word is misspelt": (
        "visits\ninner join days using (customer_id, call_date)\ngroup by",
        "visits\ngrup by",
        "14: visits grup by customer_id and others are joined by a comma",
    ),
    "a group": (
        "by customer_id, call_date, queue",
        "by call_date, queue",
        "16: `group by` puts rows of different customers",
    ),
    "a window": (
        "count(*)::integer",
        "(count(*) over (partition by call_date))::integer",
        "13: `partition by` puts rows of different customers together; name customer_id there",
    ),
    "a window over all": (
        "count(*)::integer",
        "(count(*) over ())::integer",
        "13: `over` puts rows of different customers",
    ),
    "another customer": (
        "    customer_id,\n    call_date,\n",
        "    customer_id + 1 as customer_id,\n    call_date,\n",
        "10: `as customer_id` can put a row among those of another customer; take the customer_id of what is read",
    ),
    "a query in a text": (
        "count(*)::integer",
        "count(query_to_xml('table registry.contact', true, false, ''))::integer",
        "13: remove query_to_xml: dbt does not see what it reads",
    ),
    "what Citus refuses": (
        "group by",
        "where exists (select from visits)\ngroup by",
        "16: a query needs a column; write `select 1 from`",
        "16: this query in brackets reads rows of all customers",
    ),
    "a join in capitals": (
        "inner join days using (customer_id, call_date)",
        "INNER JOIN days USING (call_date)",
        "15: it joins rows of different customers",
    ),
    "a customer who is himself": (
        "using (customer_id, call_date)",
        "on visits.call_date = days.call_date and days.customer_id = days.customer_id",
        "15: it joins rows of different customers",
    ),
    "a query in brackets": (
        "count(*)::integer",
        "(select count(*) from days)::integer",
        "13: this query in brackets reads rows of all customers; compare customer_id in it",
    ),
    "no days": ("'stg_day'", "'stg_line'", "1: it reads no days; join {{ ref('stg_day') }}"),
    "another value each time": (
        "count(*)::integer",
        "extract(hour from now())::integer",
        "13: remove now: a day must give the same numbers whenever it is computed",
    ),
    "another query": (
        "with visits",
        "{% do run_query('drop table x') %}\nwith visits",
        "1: remove run_query: a model is one query",
    ),
    "what puts customers together": (
        "'int_visit'",
        "'int_month_over'",
        "2: int_month_over puts customers together; only a statistic can read it",
    ),
}


def test_a_wrong_query(project: WrongProject) -> None:
    wanted = {}
    for number, case in enumerate([("with visits", "with visits"), *QUERIES.values()]):
        name = f"tiny_{number}"
        project.write(f"models/marts/queue/{name}.yml", changed(MART, name, ("NAME", "NAME")))
        file = f"models/marts/queue/{name}.sql"
        project.write(file, changed(SQL, name, case))
        wanted[file] = list(case[2:])
    expect(project.check(), wanted)


RIGHT = {
    "a distinct value": "where queue is distinct from visits.queue and extract(hour from visits.began_at) > 7",
    "rows of no table": "cross join generate_series(1, 4) as weeks (back)",
    "a query of its own customer": "where exists (select 1 from days where days.customer_id = visits.customer_id)",
    "a lateral join": "cross join lateral (values (1), (2)) as parts (part)",
    "a comment": "-- join days using (call_date); select from build.x",
    "a text": "where queue <> 'join days; from build.x, y'",
}


@pytest.mark.parametrize("what", RIGHT)
def test_what_looks_wrong_and_is_right(what: str) -> None:
    project = model_sql.Project(["int_visit", "stg_day"], [], ["name_shown"])
    text = SQL.replace("group by", f"{RIGHT[what]}\ngroup by")
    assert [*model_sql.mistakes(text, project, in_staging=False, of_all_customers=False)] == []
    assert [*model_sql.differences(text, ["customer_id", "call_date", "queue", "things"])] == []


SUITE = """\
expectations:
  - type: unexpected_rows_expectation
    severity: critical
    meta: {name: nothing}
    kwargs:
      unexpected_rows_query: select customer_id, call_date from {batch} where things < 0
  - type: expect_column_values_to_be_between
    severity: warning
    columns: [things]
    kwargs: {max_value: 5}
"""

SUITES: dict[str, Case] = {
    "key": ("    severity: warning", "    severty: warning", "8: severty: unknown key; write severity"),
    "type": (
        "expect_column_values_to_be_between",
        "expect_column_values_to_be_betwen",
        "7: Great Expectations has no such expectation; write expect_column_values_to_be_between",
    ),
    "argument": ("max_value: 5", "max_valu: 5", "10: has no such argument; write max_value"),
    "column": ("columns: [things]", "columns: [thing]", "9: has no thing; write things"),
    "severity": ("severity: warning", "severity: warnin", "8: write warning"),
    "nothing critical": ("severity: critical", "severity: warning", "1: no critical expectation"),
    "query column": (
        "things < 0",
        "thinks < 0",
        "6: no table of the query has a column thinks; write things",
    ),
    "query table": (
        "from {batch}",
        "from {batch} join build.queue_dy using (customer_id)",
        "6: the build makes no table queue_dy; write queue_day",
    ),
    "query placeholder": ("{batch}", "{bach}", "6: {bach} stands for nothing in the query"),
    "no batch": ("{batch}", "build.queue_day", "6: the query does not look at the mart"),
    "no query": (
        "      unexpected_rows_query: select customer_id, call_date from {batch} where things < 0",
        "      {}",
        "2: add unexpected_rows_query to kwargs",
    ),
    "no SQL": ("where things", "were things >", "6: the query is not SQL"),
    "no keys": (
        "select customer_id, call_date",
        "select queue",
        "6: the query says which days fail; begin it with select customer_id, call_date",
    ),
    "no query but an order": (
        "select customer_id, call_date from {batch}",
        "delete from {batch}",
        "6: the query says which days fail",
    ),
    "query of customers": (
        "select customer_id, call_date from {batch}",
        "select a.customer_id, a.call_date from {batch} as a join build.queue_day as b using (call_date)",
        "6: it joins rows of different customers",
    ),
    "no column": ("    columns: [things]\n", "", "7: needs `columns`"),
}


def test_a_wrong_suite(project: WrongProject) -> None:
    wanted = {}
    for number, case in enumerate(SUITES.values()):
        name = f"tiny_{number}"
        project.write(f"models/marts/queue/{name}.yml", changed(MART, name, ("        suite: none\n", "")))
        project.write(f"models/marts/queue/{name}.sql", NO_QUERY)
        project.write(f"expectations/{name}.yml", changed(SUITE, name, case))
        wanted[f"expectations/{name}.yml"] = list(case[2:])
    expect(project.check(), wanted)
