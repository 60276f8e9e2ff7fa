"""A stored run as a table, as a figure and in a notebook: ``harness.load_run``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.results.backend_rows import BackendRow
from harness.results.run_folder import RunFolder
from harness.results.run_folder import load_run as load_folder
from harness.results.schema import Entry

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Run(RunFolder):
    """A finished or interrupted run, which notebooks show as its leaderboard.

    Attributes
    ----------
    path
        Folder of the run.
    run
        The content of ``results.json``.
    """

    @property
    def entries(self) -> list[Entry]:
        """The rows of the leaderboard, best first."""
        return list(self.run.entries)

    @property
    def backends(self) -> list[BackendRow]:
        """Which backend each network should use; empty in a run with one backend."""
        return list(self.run.backends)

    @property
    def complete(self) -> bool:
        """Whether all submissions were measured; False if the run was interrupted."""
        return self.run.run.complete

    @property
    def report(self) -> Path:
        """The leaderboard's HTML file."""
        return self.path / "leaderboard.html"

    def plot(self, x: str = "runtime_ms", y: str = "psnr_rgb") -> Figure:
        """Return a figure with one mark for each row that has both quantities, baselines included.

        Parameters
        ----------
        x, y
            Keys of columns, as ``harness export --columns`` takes them: ``runtime_ms``, ``fps``, ``psnr_rgb``,
            ``psnr_y``, ``ssim_rgb``, ``ssim_y``, ``delta_psnr_bicubic``, ``score``, ``params_k``, ``macs_g``..., or any
            numeric column of ``to_frame()``.

        Returns
        -------
        matplotlib.figure.Figure
            Notebooks show it; ``plot(...).savefig("figure.pdf")`` writes it. An axis of times or sizes over
            more than one order of magnitude is logarithmic.

        Raises
        ------
        UsageError
            There is no such column, or no row has both.
        """
        # Imported on demand, because matplotlib takes a second.
        from harness.report.scatter import scatter

        return scatter(self, x, y).figure

    def _repr_html_(self) -> str:
        """Return the leaderboard for notebooks; names are escaped."""
        from harness.report.exports import export

        return export(self, "html-fragment")


def load_run(path: str | Path) -> Run:
    """Read a stored run; ``path`` is its folder or its ``results.json``.

    Raises
    ------
    ResultsError
        The file is missing, is not JSON, or breaks the schema.
    """
    folder = load_folder(path)
    return Run(folder.path, folder.run)
