"""Byte code in a submission's folder is never executed: what runs is what can be read."""

import importlib.util
import os
import py_compile
from pathlib import Path

import pytest
import torch

from harness.errors import SubmissionError
from harness.worker.loader import load_network

ARCH = """
import torch
{before}
class Net(torch.nn.Module):
    def forward(self, x):
        return x.repeat_interleave(2, 2).repeat_interleave(2, 3) + {value}
def srmodel():
    return Net()
"""
FRAME = torch.zeros(1, 3, 4, 4)


def hide(source: Path, hidden: str, target: Path | None = None) -> None:
    """Write byte code of `hidden` where Python looks for that of `source`, with the header that belongs to `source`."""
    shown, times = source.read_text(), source.stat()
    size = max(len(shown), len(hidden))
    source.write_text(hidden.ljust(size, "\n"))
    os.utime(source, ns=(times.st_atime_ns, times.st_mtime_ns))
    py_compile.compile(str(source), str(target or importlib.util.cache_from_source(source)), doraise=True)
    source.write_text(shown.ljust(size, "\n"))
    os.utime(source, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_the_attack_is_real(tmp_path: Path) -> None:
    (tmp_path / "shown_and_hidden.py").write_text("VALUE = 1\n")
    hide(tmp_path / "shown_and_hidden.py", "VALUE = 2\n")
    spec = importlib.util.spec_from_file_location("shown_and_hidden", tmp_path / "shown_and_hidden.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.VALUE == 2


def test_a_cached_module_is_compiled_from_its_source(tmp_path: Path) -> None:
    (tmp_path / "arch.py").write_text(ARCH.format(before="", value="0"))
    hide(tmp_path / "arch.py", ARCH.format(before="", value="9"))
    assert float(load_network(tmp_path, "arch:srmodel", 2, None)(FRAME).max()) == 0.0


@pytest.mark.parametrize("statement", ["from utils.value import VALUE", "from .utils.value import VALUE"])
def test_a_cached_sibling_is_compiled_from_its_source(statement: str, tmp_path: Path) -> None:
    (tmp_path / "utils").mkdir()
    (tmp_path / "utils" / "value.py").write_text("VALUE = 0\n")
    hide(tmp_path / "utils" / "value.py", "VALUE = 9\n")
    (tmp_path / "arch.py").write_text(ARCH.format(before=statement, value="VALUE"))
    assert float(load_network(tmp_path, "arch:srmodel", 2, None)(FRAME).max()) == 0.0


def test_a_module_that_submitted_code_loads_itself_is_compiled_from_its_source(tmp_path: Path) -> None:
    (tmp_path / "value.txt.py").write_text("VALUE = 0\n")
    hide(tmp_path / "value.txt.py", "VALUE = 9\n")
    loading = f"""
import importlib.util
spec = importlib.util.spec_from_file_location("value", {str(tmp_path / "value.txt.py")!r})
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
"""
    (tmp_path / "arch.py").write_text(ARCH.format(before=loading, value="module.VALUE"))
    assert float(load_network(tmp_path, "arch:srmodel", 2, None)(FRAME).max()) == 0.0


def test_the_cache_of_an_installed_package_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "some_network"
    package.mkdir()
    (package / "__init__.py").write_text("VALUE = 0\n")
    hide(package / "__init__.py", "VALUE = 9\n")
    (package / "net.py").write_text(ARCH.format(before="from . import VALUE", value="VALUE"))
    monkeypatch.syspath_prepend(tmp_path)
    network = load_network(package, "some_network.net:srmodel", 2, None)
    assert float(network(FRAME).max()) == 0.0


@pytest.mark.parametrize("statement", ["import value", "from . import value"])
def test_byte_code_without_source_is_not_imported(statement: str, tmp_path: Path) -> None:
    (tmp_path / "value.py").write_text("VALUE = 0\n")
    hide(tmp_path / "value.py", "VALUE = 9\n", tmp_path / "value.pyc")
    (tmp_path / "value.py").unlink()
    (tmp_path / "arch.py").write_text(ARCH.format(before=statement, value="value.VALUE"))
    with pytest.raises(SubmissionError, match=r"value\.pyc is byte code without its source"):
        load_network(tmp_path, "arch:srmodel", 2, None)
