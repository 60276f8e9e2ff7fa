"""The command that lists plug-ins."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping

import typer
from rich.table import Table
from rich.text import Text

from harness.cli.application import EXIT_SOME_FAILED, command, out
from harness.plugins import Registry

_LOADING_S = 120.0  # torch among other things is imported


@command
def plugins() -> None:
    """List the plug-ins of installed packages, and whether each one loads."""
    table = Table("group", "name", "target", "package", "state")
    reasons = []
    for registry, faults in _checked():
        for plugin in registry.plugins():
            # `faults` is None for submissions, whose code is not loaded here.
            fault = faults.get(plugin.name) if faults is not None else None
            # The code of a submission runs in a worker only, so it is not loaded here.
            state = Text("listed") if faults is None else Text("fails", "red") if fault else Text("loads", "green")
            reasons += [f"{registry.group}: {fault}"] if fault else []
            table.add_row(registry.group, plugin.name, plugin.target, plugin.package, state)
    out.print(table if table.row_count else "no entry point is installed, not even the harness's own")
    for reason in reasons:
        out.print(reason, style="red", markup=False, highlight=False, soft_wrap=True)
    if reasons:
        raise typer.Exit(EXIT_SOME_FAILED)


def _checked() -> list[tuple[Registry[object], Mapping[str, str] | None]]:
    """Return each registry with the names that do not load and why; None where that is not tried."""
    from harness.backends import BACKENDS
    from harness.data.registry import DATASETS
    from harness.engines import ENGINES
    from harness.quality.metrics import METRICS
    from harness.submissions.installed import SUBMISSIONS
    from harness.submissions.loaders import LOADERS, SUFFIXES
    from harness.tracks import TRACKS

    here = [(registry, registry.faults()) for registry in (TRACKS, METRICS, DATASETS, ENGINES, BACKENDS)]
    known = LOADERS.names()
    # A suffix names a loader, so nothing is imported to check it.
    stray = {one.name: f"no loader is called {one.target!r}" for one in SUFFIXES.plugins() if one.target not in known}
    return [(SUBMISSIONS, None), (LOADERS, _loader_faults(known)), (SUFFIXES, stray), *here]


def _loader_faults(names: list[str]) -> dict[str, str]:
    """Load the loaders as a worker does, in a process of their own: a package of one may hold submissions."""
    command_line = [sys.executable, "-m", "harness.worker.loaders"]
    try:
        done = subprocess.run(command_line, capture_output=True, text=True, timeout=_LOADING_S, check=True)
        # The last line only, since packages may print while they are imported.
        return {str(name): str(fault) for name, fault in json.loads(done.stdout.splitlines()[-1]).items()}
    except (subprocess.SubprocessError, ValueError, IndexError, AttributeError) as error:
        return dict.fromkeys(names, f"cannot be tried ({type(error).__name__})")
