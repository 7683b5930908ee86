"""dbt takes first the models with the longest chain behind them."""

from threading import Thread
from types import SimpleNamespace
from typing import Any

import networkx
import pytest

from callmart.base.progress import quietly
from callmart.declarations.longest_first import LongestFirst
from callmart_home import Callmart
from dbt_by_heart import RUN


class _Manifest:
    """Knows each model by its name."""

    def expect(self, model: str) -> Any:
        return SimpleNamespace(unique_id=model)


def queue(threads: int) -> LongestFirst:
    """Of a chain of four models, and of one that nobody reads and that dbt would take second."""
    graph = networkx.DiGraph([("chain 1", "chain 2"), ("chain 2", "chain 3"), ("chain 3", "chain 4")])
    graph.add_node("alone")
    return LongestFirst(graph, _Manifest(), set(graph), threads)


def test_what_many_wait_for_goes_before_what_was_ready_earlier() -> None:
    models, order = queue(threads=1), []
    while not models.empty():
        order.append(models.get().unique_id)
        models.mark_done(order[-1])
    assert order == ["chain 1", "chain 2", "chain 3", "alone", "chain 4"]


def test_a_model_is_handed_out_only_when_a_thread_is_free() -> None:
    """Whatever is ready until then can be the next one."""
    models, taken = queue(threads=1), []
    first = models.get().unique_id
    waiting = Thread(target=lambda: taken.append(models.get().unique_id))
    waiting.start()
    waiting.join(0.2)
    models.mark_done(first)
    waiting.join(60)
    assert (first, taken) == ("chain 1", ["chain 2"])


def test_a_build_takes_its_models_from_this_queue(played: Callmart, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[str] = []
    get = LongestFirst.get

    def recording(self: LongestFirst, *how: Any) -> Any:
        model = get(self, *how)
        taken.append(model.unique_id)
        return model

    monkeypatch.setattr(LongestFirst, "get", recording)
    models = RUN(played.settings, quietly)
    assert sorted(taken) == sorted(model.model for model in models)
