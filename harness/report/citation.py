"""How to cite a run, and the names of those who made its networks."""

from __future__ import annotations

import re

from harness.report.numbers import TIMES
from harness.results.schema import Run
from harness.text import pluralized

_SPECIAL = re.compile(r"[\\{}$&#%_^~]")


def run_bibtex(run: Run) -> str:
    """Return a BibTeX entry of the run itself."""
    shape = run.protocol.output_shape
    # A network on several backends counts once.
    own = [entry for entry in run.entries if entry.kind == "submission" and not entry.variant_of]
    scored = sum(entry.status == "ok" for entry in own)
    size = f"{shape[3]}{TIMES}{shape[2]}"
    title = f"{run.track.title or run.track.name}: {pluralized(scored, 'network')} at {size} on {run.device.name}"
    note = f"track {run.track.name}, data set {run.dataset.fingerprint[:12]}, protocol {run.protocol.name}"
    # BibTeX keys must not contain blanks, commas or braces.
    key = re.sub(r"[^A-Za-z0-9]+", "-", f"sr-harness-{run.run.id}").strip("-")
    fields = {
        # The inner braces keep BibTeX styles from changing upper-case letters.
        "title": "{" + _tex(title) + "}",
        "howpublished": _tex(f"sr-harness {run.run.harness_version}, run {run.run.id}"),
        "note": _tex(note),
        "year": run.run.created[:4],
    }
    return f"@misc{{{key},\n" + "".join(f"  {name} = {{{text}}},\n" for name, text in fields.items()) + "}"


def _tex(text: str) -> str:
    """Return text without characters that TeX would interpret."""
    return _SPECIAL.sub(lambda found: "" if found[0] in "\\{}^~" else f"\\{found[0]}", text).replace(TIMES, "$\\times$")
