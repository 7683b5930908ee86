import time
from callmart.environments import making, known
from callmart_home import Callmart, ignore_step
from centre import NAMED, STANDARD

def test_it(played: Callmart) -> None:
    with played.connect() as c:
        t=time.time()
        made = making.make(c, played.settings, "one", (NAMED, STANDARD), 2, lambda *s: print(time.time()-t, s))
        print(made.environment, made.days, made.validated.held_back, time.time()-t)
        print(known.all_of(c))
    with played.connect() as c:
        t=time.time()
        print(c.execute("select datname, datacl from pg_database").fetchall())
        print(c.execute("select rolname, rolcanlogin from pg_roles where rolname like '%try%'").fetchall())
        known.drop(c, played.settings, "one")
        print(time.time()-t, known.all_of(c))
        print(c.execute("select rolname, rolcanlogin from pg_roles where rolname like '%try%'").fetchall())
