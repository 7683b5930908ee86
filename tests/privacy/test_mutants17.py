from test_packages import *  # noqa
import test_packages as T
import test_disclosing as D
from callmart.privacy import packages as P
import re as _re

class Survived(Exception): pass

def killed(f, *a, **k):
    try:
        f(*a, **k)
    except BaseException as e:
        return repr(e)[:80]
    return None

def sql(name, old, new):
    def go(m):
        assert old in own_rows.SQL[name], name
        m.setattr(own_rows, "SQL", own_rows.SQL | {name: own_rows.SQL[name].replace(old, new)})
    return go

def no_moment(m):
    inner = own_rows._condition
    m.setattr(own_rows, "_condition", lambda h, t, w: inner(replace(h, moment=None), t, w))

def all_shown(m):
    m.setattr(own_rows, "Somebody", lambda whom: "someone")

def leads(kind, name):
    def go(m):
        m.setitem(own_rows._LEADS, kind, {k: v for k, v in own_rows._LEADS[kind].items() if k != name})
    return go

MUT = {
  "two callers": (sql("calls", "and e.number_key <> all(%(keys)s)", "and false"), "two"),
  "devices": (sql("devices", "having bool_and(e.agent_key is null or e.agent_key = any(%(keys)s))", ""), "device"),
  "name part": (lambda m: m.setattr(own_rows, "_NAME_PART", 99), "word"),
  "numbers": (lambda m: m.setattr(own_rows, "_SHOWS_NUMBER", _re.compile("(?!)")), "word"),
  "substring": (lambda m: m.setattr(own_rows, "SHORTEST", 999), "word"),
  "moment": (no_moment, "day"),
  "target": (leads("caller", "target_key"), "called_in"),
  "target of agent": (leads("agent", "target_key"), "agent_sees"),
  "call key": (leads("caller", "call_key"), "two"),
  "email": (leads("recipient", "email"), "agent_gets"),
}
TESTS = {
  "two": lambda look, work: T.test_of_a_call_of_two_each_sees_only_what_is_the_own(look, work),
  "device": lambda look, work: T.test_a_device_of_two_shows_no_key(look),
  "word": lambda look, work: T.test_a_word_that_could_name_somebody_else_is_left_out(look),
  "day": lambda look, work: T.test_it_ends_with_the_day(look, work),
  "called_in": lambda look, work: T.test_whoever_was_called_in_sees_only_the_transfer(look),
  "agent_sees": lambda look, work: T.test_an_agent_sees_no_number_and_no_other_agent(look),
  "agent_gets": lambda look, work: T.test_an_agent_gets_what_the_registry_the_events_and_the_marts_have(look),
}

@pytest.mark.parametrize("name", MUT)
def test_mutant(name, look, work, monkeypatch, unprinted):
    mutate, t = MUT[name]
    assert killed(TESTS[t], look, work) is None, "unmutated fails"
    mutate(monkeypatch)
    why = killed(TESTS[t], look, work)
    work.connection.rollback()
    assert why, f"SURVIVED {name}"

STR = {
  "keys": ("_KEYS", ["a key of another", "a call of another"]),
  "numbers": ("_NUMBERS", ["a number"]),
}
@pytest.mark.parametrize("name", STR)
def test_mutant_strangers(name, work, crowd, unprinted, monkeypatch):
    attr, leaks = STR[name]
    monkeypatch.setattr(disclosing, attr, _re.compile("(?!)"))
    for leak in leaks:
        with monkeypatch.context() as m:
            assert killed(T.test_a_package_with_somebody_else_is_never_written, work, crowd, None, m, leak), f"SURVIVED {name} {leak}"
        import shutil; shutil.rmtree(packages.folder(work.settings), ignore_errors=True)

def test_mutant_needles(work, crowd, unprinted, monkeypatch):
    monkeypatch.setattr(disclosing, "_needles", lambda c: Needles(()))
    for leak in ("a word of the customer", "an agent's id"):
        with monkeypatch.context() as m:
            assert killed(T.test_a_package_with_somebody_else_is_never_written, work, crowd, None, m, leak), f"SURVIVED needles {leak}"
        import shutil; shutil.rmtree(packages.folder(work.settings), ignore_errors=True)

for _name in [n for n in globals() if n.startswith("test_") and not n.startswith("test_mutant")]:
    del globals()[_name]
