"""The library that draws the interactive plot, written beside the pages of a run.

Plotly's basic bundle (MIT) is part of this package, unchanged, with its licence. Pages work without it: the figures
that matplotlib drew stay in its place.
"""

import hashlib
from functools import cache
from importlib.resources import files
from pathlib import Path

from harness.errors import ResultsError
from harness.report.site import write_page

FOLDER = "assets"
LIBRARY = "plotly-basic-4.1.1.min.js"
LICENCE = "plotly-LICENSE.txt"
SHA256 = {
    LIBRARY: "99784e3abfb07b142a15e521a439e6d9addceadb3f79553fd24c72774f0649ba",
    LICENCE: "8c45d9eaf50c2f72dd9c7ab9ef440788ba58a3538484b5c51c1f17d5128752e7",
}
"""Checksums of the files as the npm registry serves them in ``plotly.js-basic-dist-min`` 4.1.1."""


def write_assets(folder: Path) -> None:
    """Write the library and its licence into ``assets/`` of a run's folder, unless they are there.

    Raises
    ------
    ResultsError
        They cannot be written, or the installed package is damaged.
    """
    for name in SHA256:
        target = folder / FOLDER / name
        # Compared by size, so that an existing file of a megabyte is not read.
        if not (target.is_file() and target.stat().st_size == len(_content(name))):
            write_page(target, _content(name))


@cache
def _content(name: str) -> bytes:
    # Checked once in each process: a page must not load another script than the one that was published.
    content = (files("harness.report") / "vendor" / name).read_bytes()
    if hashlib.sha256(content).hexdigest() != SHA256[name]:
        raise ResultsError(f"{name} of this installation is damaged", hint="install sr-harness again")
    return content
