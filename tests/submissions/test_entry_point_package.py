"""A package that pip has installed offers submissions and a loader, and nothing of it is imported to list them."""

import json
import os
import subprocess
import sys

import pytest

LIST = """
import json, sys
from harness.submissions import discover
from harness.submissions.loaders import loader_for
from pathlib import Path
found = discover([])
assert loader_for(Path("some.nearest")) == "nearest"
assert not [name for name in sys.modules if name.startswith("nearest_networks")], "imported while listing"
print(json.dumps([[one.name, one.origin, one.manifest.team, one.manifest.scales, one.manifest.factory, str(one.root)]
                  for one in found if "earest" in one.name]))
"""
LOAD = """
import sys, torch
from pathlib import Path
from harness.worker.loader import load_network
print([load_network(Path(root), factory, 2, None)(torch.zeros(1, 3, 5, 6)).shape[-1]
       for root, factory in zip(sys.argv[1::2], sys.argv[2::2])])
"""


@pytest.fixture(scope="module")
def site(root, tmp_path_factory):
    pytest.importorskip("pip", reason="pip, which installs the fixture package, is not installed")
    pytest.importorskip("hatchling", reason="hatchling, which builds the fixture package, is not installed")
    target = tmp_path_factory.mktemp("site")
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--target", str(target)]
    package = root / "tests" / "fixtures" / "entry_point_package"
    subprocess.run([sys.executable, "-m", "pip", "install", *options, str(package)], check=True)
    return target


def run(root, site, code, *arguments):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), str(site)])}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True)


def test_submissions_of_an_installed_package(root, site):
    listed = run(root, site, LIST)
    assert "was imported" not in listed.stderr
    plain, described = json.loads(listed.stdout)
    folder = str(site / "nearest_networks")
    factory = "nearest_networks.described.arch:srmodel"
    assert described == ["Nearest, installed", "entry-point", "fixture", [2, 3], factory, folder]
    assert plain == ["Nearest plain", "entry-point", "", [2, 3, 4], "nearest_networks.plain:build", folder]
    loaded = run(root, site, LOAD, folder, described[4], folder, plain[4], folder, "nearest_networks.repeating:Repeat")
    assert loaded.stdout.strip() == "[12, 12, 12]"
    assert "was imported" in loaded.stderr
