"""Which of an engine's places a run uses, and which of them may time."""

from __future__ import annotations

from collections.abc import Sequence

from harness.engines import Place
from harness.engines.place import title
from harness.errors import UsageError
from harness.results.run_info import DeviceInfo


def order_places(places: Sequence[Place], time_on: str | None) -> list[Place]:
    """Return the places of a run, those that may time first.

    Parameters
    ----------
    places
        The devices of the engine.
    time_on
        Model of the devices that time; None if there is only one model.

    Raises
    ------
    UsageError
        There are devices of several models and none is named, the named one does not exist, or the places have
        different versions of the software.
    """
    models = list(dict.fromkeys(place.device.name for place in places))
    # Models differ in speed, so that times of both in one table would compare devices and not networks.
    if time_on is None and len(models) > 1:
        raise UsageError(
            f"there are devices of {len(models)} models, whose times must not be mixed: {', '.join(models)}",
            hint=f"name the one that times networks, such as --time-on {models[0]!r}; the others measure quality",
        )
    if time_on is not None and time_on not in models:
        hint = f"there are {', '.join(models)}"
        raise UsageError(f"--time-on: there is no device of model {time_on!r}", hint=hint)
    _require_equal_versions(places)
    # False sorts before True; apart from that, sorting keeps the order of the engine.
    return sorted(places, key=lambda place: place.device.name != (time_on or models[0]))


def may_time(place: Place, device: DeviceInfo) -> bool:
    """Return whether networks are timed on a place in a run whose times are those of `device`."""
    return place.device.name == device.name


def device_of_run(places: Sequence[Place]) -> DeviceInfo:
    """Return the description of what times networks; of several accelerators of one model it names none."""
    device = places[0].device
    # `cuda:1` becomes `cuda`: the table describes all devices of the model.
    return device if len(places) == 1 else device.model_copy(update={"kind": device.kind.partition(":")[0]})


def _require_equal_versions(places: Sequence[Place]) -> None:
    """Check that all places compute with the same software, without which their figures could differ.

    Raises
    ------
    UsageError
        They do not.
    """
    first = _versions(places[0].device)
    for place in places[1:]:
        versions = _versions(place.device)
        differing = [name for name in sorted({*first, *versions}) if first.get(name) != versions.get(name)]
        if differing:
            name = differing[0]
            raise UsageError(
                f"{title(place)} has {name} {versions.get(name)}, and {title(places[0])} has {first.get(name)}",
                hint="install the same versions on all machines: other versions can give other figures",
            )


def _versions(device: DeviceInfo) -> dict[str, str]:
    return {"torch": device.torch, "Python": device.python, **device.versions}
