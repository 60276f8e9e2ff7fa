"""What of a run's plan is sent to other machines."""

from __future__ import annotations

from dataclasses import replace

from harness.data import Dataset
from harness.data.sent import SentDataset
from harness.engines import Engine
from harness.run.plan import Plan


def send_plan(plan: Plan, engine: Engine) -> Plan:
    """Return the plan without its submissions and places, with data sets that every machine of an engine can read.

    Where machines do not see the controller's files, each pair of images travels to each machine once.
    """
    # Each task carries its own submissions and place, see `tasks.Task`.
    plan = replace(plan, submissions=(), places=())
    if engine.shares_files:
        return plan
    return replace(
        plan,
        dataset=_sent(plan.dataset, engine),
        further=tuple(replace(one, dataset=_sent(one.dataset, engine)) for one in plan.further),
    )


def _sent(dataset: Dataset, engine: Engine) -> Dataset:
    # Decoded here, by the controller: the machines need neither the files nor the same decoder.
    return SentDataset(dataset, [engine.share(dataset.pair(index)) for index in range(len(dataset))])
