"""``harness check`` finds the cheats of the zoo with its own settings: few calls, small frames, images of its own."""

from pathlib import Path

import pytest
from zoo.build import build_zoo, expectations

from harness.run.checking import Check, CheckRequest, check_path

pytestmark = pytest.mark.timeout(3000)

CHEATS = sorted(name for name, wanted in expectations().items() if wanted["status"] == "disqualified")
# They know the images of a public test set, which a check does not use.
KNOW_OTHER_IMAGES = {"recalls_half", "recalls_images", "recalls_parts"}
# A check has as many threads as the machine has cores, of which these use two.
USE_THEIR_THREADS = {"two_cores", "two_cores_always", "two_cores_in_another_process"}
# Each of its few turns is honest in some checks.
ATTEMPTS = {"coarser_when_timed": 4}
SAMPLE = ["easier_on_frames_it_remembers", "easier_on_grain", "easier_on_shifted_frames", "easier_when_large"]
FOUND = sorted({*CHEATS} - KNOW_OTHER_IMAGES - USE_THEIR_THREADS)


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("zoo")
    build_zoo(folder)
    return folder


def checked(zoo: Path, name: str) -> list[Check]:
    (path,) = (path for path in zoo.glob(f"{name}*") if path.stem == name)
    return check_path(CheckRequest(path, scale=2, device="cpu"))


@pytest.mark.parametrize("name", SAMPLE)
def test_a_network_that_does_less_in_the_frames_that_are_timed(zoo: Path, name: str) -> None:
    # Which frames and calls are compared is drawn: one check in a dozen may draw none in which the network does less.
    attempts = (checked(zoo, name) for _ in range(2))
    errors = ((one.what for check in checks for one in check.findings if one.level == "error") for checks in attempts)
    assert any("disqualified" in what and "worse" in what for whats in errors for what in whats)


@pytest.mark.slow  # -m "not slow" replaces the selection that leaves out the nightly ones
@pytest.mark.nightly
@pytest.mark.parametrize("name", FOUND)
def test_every_cheat_of_the_zoo(zoo: Path, name: str) -> None:
    checks = [check for _ in range(ATTEMPTS.get(name, 1)) for check in checked(zoo, name)]
    assert any("disqualified" in one.what for check in checks for one in check.findings if one.level == "error")


@pytest.mark.parametrize("name", ["honest_bicubic", "honest_nearest", "honest_trained"])
def test_honest_networks_pass(zoo: Path, name: str) -> None:
    assert all(check.passed for check in checked(zoo, name))
