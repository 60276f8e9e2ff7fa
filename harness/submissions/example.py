"""Write the networks that come with the harness and settings for a first run, for ``harness example``."""

from __future__ import annotations

import shutil
from pathlib import Path

from harness.errors import UsageError
from harness.submissions.manifest import SHARED_FILE_NAME

SETTINGS = """\
# Settings of `harness run` in this folder; `harness config` shows all of them. What is typed takes precedence.
[run]
submissions = ["submissions"]
scale = 2
time-budget = 2           # seconds of timing per model
out = "report"
"""


def shipped_submissions() -> Path:
    """Return the folder of the networks that come with the harness: of the checkout, or of the installed wheel.

    Raises
    ------
    UsageError
        They are not installed.
    """
    package = Path(__file__).resolve().parent.parent
    for folder in (package.parent / "submissions", package / "_submissions"):
        if any(folder.glob("*/submission.toml")):
            return folder
    raise UsageError("the networks of the harness are not installed", hint="install the wheel, or use a checkout")


def write_example(folder: Path) -> int:
    """Write the networks into ``submissions/`` and the settings into ``harness.toml`` of a new folder.

    Returns
    -------
    int
        Number of networks.

    Raises
    ------
    UsageError
        The folder exists and is not empty, or cannot be written.
    """
    source = shipped_submissions()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError("already exists", where=str(folder), hint="name a folder that does not exist, or is empty")
    try:
        networks = sorted(path.parent for path in source.glob("*/submission.toml"))
        for network in networks:
            # Byte code of a checkout that was used.
            leave_out = shutil.ignore_patterns("__pycache__", "*.pyc")
            shutil.copytree(network, folder / "submissions" / network.name, ignore=leave_out)
        (folder / SHARED_FILE_NAME).write_text(SETTINGS, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot be written ({error.strerror or error})", where=str(folder)) from error
    return len(networks)
