import time

from callmart.database import server
from callmart.environments import comparing, known, making
from callmart_home import Callmart
from centre import NAMED, STANDARD


def test_it(played: Callmart, unchecked) -> None:
    with played.connect() as c:
        t = time.time()
        made = making.make(c, played.settings, "one", (NAMED, STANDARD), 2, lambda *s: None)
        print(made.environment, made.days, made.validated.held_back, time.time() - t)
    with played.connect() as c:
        t = time.time()
        r = comparing.compare(c, played.settings, "one")
        print(time.time() - t, r.days, r.left_out, len(r.columns), r.differing[:3], r.summed)
        own = known.settings_of(c, played.settings, "one")
        with server.connect(own) as o:
            o.execute(
                "update store.queue_interval set offered = offered + 1 where extract(hour from interval_local) = 10 and customer_id=1001"
            )
            o.execute("update store.agent_interval set talk_s = talk_s + 1")
            o.execute(
                "delete from store.agent_day where agent_key in (select min(agent_key) from store.agent_day)"
            )
            o.execute("alter table store.queue_day rename column offered to offerred")
        r = comparing.compare(c, played.settings, "one")
        for col in r.differing:
            print(col.mart, col.column, col.compared, col.only, col.cells[:2])
        print(r.cells[:5])
