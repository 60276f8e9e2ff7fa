"""Memory of a worker's heap."""

import subprocess
import sys
from pathlib import Path

import pytest

import harness
from harness.isolation.environment import MEMORY_SETTINGS

_PROGRAM = """
import resource, torch
from harness.worker.memory import grow_heap

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def call():
    before = faults()
    torch.ones(50_000_000)
    return faults() - before

torch.ones(1000)
grow_heap({size})
print(call())
"""


def faults_of_a_call(size: int) -> int:
    command = [sys.executable, "-c", _PROGRAM.format(size=size)]
    # Whatever folder this process is in, the program finds the package.
    root = Path(harness.__file__).parents[1]
    done = subprocess.run(command, env=MEMORY_SETTINGS, check=True, capture_output=True, text=True, cwd=root)
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="the settings are those of glibc")
def test_the_first_call_on_a_heap_that_has_grown_touches_hardly_a_new_page() -> None:
    cold, warm = faults_of_a_call(0), faults_of_a_call(220_000_000)
    pages = 200_000_000 // 4096
    assert cold > 0.9 * pages
    assert warm < 0.1 * pages


_MEASURE = """
import torch
from harness.worker import memory

asked = []
memory._mallopt = lambda parameter, value: asked.append(value)
memory.forward_memory(torch.nn.Conv2d(3, 3, 1), lambda frame: frame, (8, 8), 1)
print(asked[-1])
"""


@pytest.mark.parametrize(("settings", "expected"), [(MEMORY_SETTINGS, 0), ({}, 1 << 16)])
def test_a_process_gets_its_own_setting_of_the_allocator_back(settings: dict[str, str], expected: int) -> None:
    own = {"PYTHONPATH": str(Path(harness.__file__).parents[1]), **settings}
    done = subprocess.run([sys.executable, "-c", _MEASURE], env=own, capture_output=True, text=True, check=True)
    assert int(done.stdout) == expected
