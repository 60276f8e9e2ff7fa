"""The examples of the page on Python run as they are written."""

import re
from pathlib import Path

import pytest

BLOCKS = re.findall(
    r"^```python\n(.*?)^```$",
    (Path(__file__).resolve().parents[2] / "docs" / "python.md").read_text(encoding="utf-8"),
    re.MULTILINE | re.DOTALL,
)


@pytest.mark.parametrize(
    "block",
    [
        pytest.param(
            block,
            # It times networks at 4K, which takes many minutes on a busy machine.
            marks=[pytest.mark.nightly, pytest.mark.timeout(3600)] if block.startswith("# takes minutes") else (),
            id=f"{number}",
        )
        for number, block in enumerate(BLOCKS)
    ],
)
def test_the_example_runs(block: str, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("submissions", "reports"):
        (tmp_path / folder).symlink_to(root / folder)
    monkeypatch.chdir(tmp_path)
    if "out=" in block:
        block = block.replace("reports/two", "two")  # nothing is written into the checkout
    exec(compile(block, "docs/python.md", "exec"), {"__name__": "example"})
