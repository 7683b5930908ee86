"""The order in which dbt computes models: first those with the longest chain of models behind them.

By itself dbt gives its threads each model as soon as all that it reads is there, so a chain waits for models that
nobody waits for. It has no setting for that.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from dbt.graph.queue import GraphQueue
from dbt.task.run import RunTask


class LongestFirst(GraphQueue):  # type: ignore[misc]
    """dbt's queue of models, which hands out the next one only when a thread is free."""

    def __init__(self, graph: Any, manifest: Any, selected: Any, threads: int) -> None:
        self.threads = threads
        super().__init__(graph, manifest, selected)

    def _get_scores(self, graph: Any) -> dict[str, int]:
        """For each model, minus the number of models in the longest chain that begins with it. The smallest is next."""

        @cache
        def score(model: str) -> int:
            return min(map(score, graph.successors(model)), default=0) - 1

        return {model: score(model) for model in graph}

    def get(self, *how: Any) -> Any:
        """The next model. dbt's own queue would be emptied at once, and its threads would have another in which the
        order is that of becoming ready.
        """
        with self.some_task_done:
            self.some_task_done.wait_for(lambda: len(self.in_progress) < self.threads)
        return super().get(*how)


@contextmanager
def longest_first() -> Iterator[None]:
    """Let dbt's runs take models in this order."""
    get_queue = RunTask.get_graph_queue

    def get_longest_first(task: Any) -> LongestFirst:
        queue = get_queue(task)
        return LongestFirst(queue.graph, queue.manifest, queue.get_selected_nodes(), task.config.threads)

    RunTask.get_graph_queue = get_longest_first
    try:
        yield
    finally:
        RunTask.get_graph_queue = get_queue
