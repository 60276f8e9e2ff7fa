"""A Ray cluster on this machine, of nodes that can be killed."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Any, Self

import pytest

from harness.engines.ray_cluster import RayEngine


class Nodes:
    """Starts nodes with one processor each, and ends them with the context."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._cluster: Any = None
        self.nodes: list[Any] = []

    def __enter__(self) -> Self:
        pytest.importorskip("ray", reason="the extra [ray] is not installed")
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        from ray.cluster_utils import Cluster

        # The head has no processors: it holds the state of the cluster, and no node that is killed.
        self._cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        store = 100 * 2**20
        self.nodes = [self._cluster.add_node(num_cpus=1, object_store_memory=store) for _ in range(self._count)]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cluster.shutdown()

    @property
    def address(self) -> str:
        """Address of the cluster."""
        return str(self._cluster.address)

    def engine(self) -> RayEngine:
        """Return an engine that is not connected yet."""
        return RayEngine(self.address)

    def kill(self, node_id: str) -> None:
        """Kill a node with all that runs there, without any farewell."""
        (node,) = [node for node in self.nodes if node.node_id == node_id]
        self._cluster.remove_node(node, allow_graceful=False)
