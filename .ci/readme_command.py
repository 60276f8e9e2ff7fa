"""Print one of the README's two commands: `run` for the main job, `tests` for the tests."""

import re
import sys
from pathlib import Path

README = Path(__file__).resolve().parent.parent / "README.md"
MARKERS = {"run": "harness run", "tests": "pytest"}


def command(which: str) -> str:
    """Return the first shell block of the README that holds the command's marker."""
    blocks = re.findall(r"```sh\n(.*?)```", README.read_text(), flags=re.DOTALL)
    return next(block.strip() for block in blocks if MARKERS[which] in block)


if __name__ == "__main__":
    print(command(sys.argv[1]))
