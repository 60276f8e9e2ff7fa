"""Networks of challenge repositories, built as their scripts build them."""

from pathlib import Path

import pytest
import torch
from challenge_repositories import GAIN, LAYOUTS, write_2024, write_2025, write_2026, write_in_main

from harness.errors import CheckpointError, SubmissionError, UnsupportedError
from harness.submissions.discovery import discover
from harness.worker.loader import Declared, load


def find(repository: Path):
    return discover([repository], entry_points=False, cache_dir=repository.parent / "cache")


def loaded(one):
    weights = one.manifest.weights_for(4)
    return load(one.root, one.manifest.factory, 4, weights, declared=Declared(True, one.manifest.requires))


def rewrite(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.fixture(params=[*sorted(LAYOUTS), "main"])
def repository(request, tmp_path):
    return {**LAYOUTS, "main": write_in_main}[request.param](tmp_path / "repository")


def test_the_plain_team_has_its_weights(repository):
    network = loaded(find(repository)[0]).network
    frame = torch.rand(1, 3, 8, 10)
    resized = [torch.nn.functional.interpolate(frame, scale_factor=4.0, mode=mode) for mode in ("bicubic", "bilinear")]
    assert network.gain.item() == pytest.approx(GAIN)
    torch.testing.assert_close(network(frame), GAIN * resized[0] + (1 - GAIN) * resized[1])


@pytest.mark.parametrize("year", ["2022", "2025", "2026"])
def test_a_missing_package_is_named_with_its_distribution(tmp_path, year):
    lacks = find(LAYOUTS[year](tmp_path / year))[1]
    with pytest.raises(UnsupportedError) as caught:
        loaded(lacks)
    assert "mamba" in caught.value.what
    assert "pip install mamba-ssm" in caught.value.hint
    assert "--install" in caught.value.hint


def test_nobody_is_sent_to_install_a_file_that_was_forgotten(tmp_path):
    with pytest.raises(UnsupportedError, match="a_file_that_they_forgot") as caught:
        loaded(find(write_2024(tmp_path / "repository"))[1])
    assert "pip install" not in str(caught.value)
    assert "ask the authors" in caught.value.hint


def test_a_network_that_needs_cuda_is_unsupported(tmp_path):
    repository = write_2024(tmp_path / "repository")
    condition = "        assert torch.cuda.is_available() and False\n        self.calls = 0"
    rewrite(repository / "models" / "team01_Plain.py", "        self.calls = 0", condition)
    with pytest.raises(UnsupportedError, match="needs CUDA"):
        loaded(find(repository)[0])


@pytest.mark.parametrize("year", ["2022", "2024"])
def test_code_that_raises_is_an_error_with_its_place(tmp_path, year):
    with pytest.raises(SubmissionError, match="no network today") as caught:
        loaded(find(LAYOUTS[year](tmp_path / year))[2])
    assert "models/team03" in caught.value.where


def test_remarks_say_what_was_done_beside(tmp_path):
    notes = {year: " ".join(loaded(find(LAYOUTS[year](tmp_path / year))[0]).notes) for year in LAYOUTS}
    assert "tiles of 256" in notes["2022"]
    assert "strict=False" in notes["2024"]
    assert "branch.only_in_training" in notes["2024"]
    assert "switch_deploy() of 1 modules" in notes["2025"]
    assert "out = model(inp)" in notes["2026"]


def test_a_warm_up_is_left_out_and_a_conversion_is_done(tmp_path):
    assert loaded(find(write_2026(tmp_path / "2026"))[0]).network.calls < 20
    assert loaded(find(write_2025(tmp_path / "2025"))[0]).network.deployed


def test_a_copy_of_a_package_that_was_never_installed(tmp_path):
    repository = write_2024(tmp_path / "repository")
    package = repository / "basicsr"
    (package / "utils").mkdir(parents=True)
    (package / "__init__.py").write_text("from .version import __gitsha__, __version__\n")
    (package / "utils" / "registry.py").write_text(
        "class Registry(dict):\n    def register(self):\n        def keep(one):\n"
        "            assert one.__name__ not in self, 'registered twice'\n            self[one.__name__] = one\n"
        "            return one\n        return keep\n\n\nARCH_REGISTRY = Registry()\n"
    )
    rewrite(
        repository / "models" / "team01_Plain.py",
        "class Sharp",
        "from basicsr.utils.registry import ARCH_REGISTRY\n\n\n@ARCH_REGISTRY.register()\nclass Sharp",
    )
    plain = find(repository)[0]
    assert plain.manifest.requires == []
    assert loaded(plain).network.gain.item() == pytest.approx(GAIN)


def test_a_branch_that_cannot_be_read_is_left_to_the_script(tmp_path):
    repository = write_2024(tmp_path / "repository")
    rewrite(
        repository / "test_demo.py",
        "        model.load_state_dict(stat_dict, strict=False)\n",
        "        util_of_the_team(model)\n",
    )
    rewrite(
        repository / "test_demo.py",
        "def select_model",
        "def util_of_the_team(model):\n    model.gain.data.fill_(3.0)\n\n\ndef select_model",
    )
    plain = find(repository)[0]
    assert loaded(plain).network.gain.item() == 3.0


def test_the_chain_in_another_file(tmp_path):
    repository = write_2024(tmp_path / "repository")
    text = (repository / "test_demo.py").read_text()
    text = text.replace("args, device", "model_id, device").replace("    model_id = args.model_id\n", "")
    (repository / "choosing.py").write_text(text.replace("stat_dict, strict=False", "convert(stat_dict)"))
    (repository / "test_demo.py").write_text("from choosing import select_model\n\n\ndef run():\n    sf = 4\n")
    with (repository / "choosing.py").open("a") as file:
        file.write("\n\ndef convert(state):\n    return {'gain': 2 * state['gain']}\n")
    torch.save({"gain": torch.full((1,), GAIN)}, repository / "model_zoo" / "team01_plain.pth")
    plain = find(repository)[0]
    assert plain.manifest.scales == [4]
    assert loaded(plain).network.gain.item() == pytest.approx(2 * GAIN)


@pytest.mark.parametrize(
    ("code", "times"),
    [
        ("stat_dict['gain'] = stat_dict['gain'] * 3", 3),
        ("for k in list(stat_dict):\n            stat_dict[k] = stat_dict[k].mul(3)", 3),
        ("stat_dict = {k: v.mul(3) for k, v in stat_dict.items()}", 3),
        ("stat_dict = {k: v.float() for k, v in stat_dict.items()}", 1),
    ],
)
def test_weights_that_the_script_changes_before_it_loads_them(tmp_path, code, times):
    repository = write_2024(tmp_path / "repository")
    torch.save({"gain": torch.full((1,), GAIN)}, repository / "model_zoo" / "team01_plain.pth")
    line = "stat_dict = torch.load(model_path)\n"
    rewrite(repository / "test_demo.py", line, f"{line}        {code}\n")
    assert loaded(find(repository)[0]).network.gain.item() == pytest.approx(times * GAIN)


def test_where_the_source_misleads_the_script_decides(tmp_path):
    repository = write_2024(tmp_path / "repository")
    torch.save({"weights": {"of": {"x.gain": torch.full((1,), 2.0)}}}, repository / "model_zoo" / "team01_plain.pth")
    rewrite(
        repository / "test_demo.py",
        "stat_dict = torch.load(model_path)\n",
        "stat_dict = {k[2:]: v for k, v in torch.load(model_path)['weights']['of'].items()}\n",
    )
    rewrite(repository / "test_demo.py", "stat_dict, strict=False", "stat_dict, strict=True")
    assert loaded(find(repository)[0]).network.gain.item() == 2.0


def test_the_script_chooses_among_weights_that_all_fit(tmp_path):
    repository = write_2024(tmp_path / "repository")
    rewrite(repository / "models" / "team02_Lacks.py", "import a_file_that_they_forgot", "")
    rewrite(repository / "test_demo.py", "if 'params_ema' in loadnet", "if 'params_ema' not in loadnet")
    both = {"params": {"gain": torch.full((1,), 5.0)}, "params_ema": {"gain": torch.full((1,), 7.0)}}
    torch.save(both, repository / "model_zoo" / "team02.pth")
    result = loaded(find(repository)[1])
    assert result.network.gain.item() == 5.0  # the averaged ones would be preferred where nothing else is said
    assert "the script itself" in " ".join(result.notes)


def test_weights_of_another_network_are_an_error_although_the_script_is_not_strict(tmp_path):
    repository = write_2024(tmp_path / "repository")
    torch.save({"other": torch.ones(1)}, repository / "model_zoo" / "team01_plain.pth")
    with pytest.raises(CheckpointError, match="none of the 1 parameters"):
        loaded(find(repository)[0])
