"""Repositories of challenges: what discovery reads of their scripts, and which files each team gets."""

import ast
import os
import zipfile
from pathlib import Path

import pytest
from challenge_repositories import LAYOUTS, write_2022, write_2024, write_2025, write_2026, write_in_main
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import CheckpointError, ManifestError
from harness.results.fingerprint import fingerprint_folder
from harness.submissions.challenge.expressions import Scope, _only_renames, evaluate
from harness.submissions.challenge.repository import factory_of, number_of
from harness.submissions.challenge.script import find_chain
from harness.submissions.challenge.values import Known
from harness.submissions.discovery import discover
from harness.submissions.manifest import read_manifest
from harness.submissions.submission import BrokenSubmission, Submission


def find(repository: Path, **options):
    return discover([repository], entry_points=False, cache_dir=repository.parent / "cache", **options)


def files(one: Submission) -> set[str]:
    return {path.relative_to(one.root).as_posix() for path in one.root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("year", sorted(LAYOUTS))
def test_each_branch_that_does_something_is_a_submission(tmp_path, year):
    found = find(LAYOUTS[year](tmp_path / year))
    assert [one.name.lstrip("0")[:1] for one in found] == ["1", "2", "3"]
    assert all(isinstance(one, Submission) for one in found)
    assert all(one.manifest.scales == [4] for one in found)
    assert all((one.root / one.manifest.weights["x4"]).is_file() for one in found)
    assert {one.manifest.value_range for one in found} == ({1.0, 255.0} if year == "2022" else {1.0})
    assert [read_manifest(one.root) for one in found] == [one.manifest for one in found]


def test_nothing_of_a_repository_is_executed_to_list_it(tmp_path):
    repository = write_2025(tmp_path / "repository")
    for path in repository.rglob("*.py"):
        path.write_text(f"raise SystemExit('executed')\n{path.read_text()}")
    assert len(find(repository)) == 3


def test_a_team_gets_its_own_files_and_those_that_it_imports(tmp_path):
    plain, lacks, crashes = find(write_2022(tmp_path / "repository"))
    shared = {"test_demo.py", "submission.toml"}
    package = {f"models/team01_plain/{name}.py" for name in ("network", "parts")} | {"models/common.py"}
    assert files(plain) == {*shared, *package, "model_zoo/team01_plain.pth"}
    assert files(crashes) == {*shared, "models/team03_raises.py", "model_zoo/team03.pth"}
    assert lacks.manifest.requires == ["mamba-ssm"]


def test_a_team_gets_the_folders_that_its_branch_names(tmp_path):
    plain, extends, _ = find(write_2026(tmp_path / "repository"))
    assert "extra/setup.py" in files(extends)
    assert "extra/setup.py" not in files(plain)
    assert "model_zoo/team01_plain.pth" not in files(extends)


def test_only_packages_that_are_known_are_required(tmp_path):
    lacks = find(write_2024(tmp_path / "repository"))[1]
    assert lacks.manifest.requires == []


def test_only_what_a_branch_uses_changes_its_fingerprint(tmp_path):
    repository = write_2024(tmp_path / "repository")
    before = [fingerprint_folder(one.root) for one in find(repository)]
    with (repository / "models" / "team03_Raises.py").open("a") as file:
        file.write("\n# changed\n")
    after = [fingerprint_folder(one.root) for one in find(repository)]
    assert [old == new for old, new in zip(before, after, strict=True)] == [True, True, False]


def test_names_choose_teams(tmp_path):
    repository = LAYOUTS["2026"](tmp_path / "repository")
    assert [one.name for one in find(repository, only=["02*"])] == ["02_Lacks"]
    assert [one.name for one in find(repository, only=["01*"])] == ["001_Plain"]  # by its number


def test_a_folder_and_a_zip_of_a_repository(tmp_path):
    write_2022(tmp_path / "inbox" / "challenge")
    inside = tmp_path / "other" / "challenge-main"
    write_in_main(inside)
    with zipfile.ZipFile(tmp_path / "inbox" / "challenge-main.zip", "w") as archive:
        for path in inside.rglob("*"):
            archive.write(path, path.relative_to(inside.parent))
    found = find(tmp_path / "inbox")
    assert [one.slug for one in found] == ["01_Plain", "01_Plain-2", "02_Lacks", "02_Lacks-2", "03_Raises"]


def test_a_manifest_comes_before_a_script(tmp_path):
    repository = write_2022(tmp_path / "repository")
    (repository / "submission.toml").write_text('[submission]\nname = "Mine"\nscales = [4]\nfactory = "models.x:y"\n')
    assert [one.name for one in find(repository)] == ["Mine"]


def test_checkpoints_that_are_not_there(tmp_path):
    repository = write_2024(tmp_path / "repository")
    (repository / "model_zoo" / "team01_plain.pth").unlink()
    (repository / "model_zoo" / "team02.pth").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    (repository / "model_zoo" / "team03.pth").unlink()
    (repository / "model_zoo" / "team03.pth").symlink_to("/etc/hostname")
    missing, pointer, link = find(repository)
    assert all(isinstance(one, BrokenSubmission) for one in (missing, pointer, link))
    assert isinstance(missing.error, CheckpointError)
    assert str(repository / "model_zoo" / "team01_plain.pth") == missing.error.where
    assert "git lfs pull" in pointer.error.hint
    assert "links out of" in link.error.what


def script(repository: Path, branch: str) -> Path:
    repository.mkdir(exist_ok=True)
    lines = "".join(f"        {line}\n" for line in branch.splitlines())
    (repository / "test_demo.py").write_text(f"def select_model(args, device):\n    if args.model_id == 7:\n{lines}")
    return repository


@pytest.mark.parametrize(
    ("branch", "kind", "said"),
    [
        ("from models.x import X\nmodel = X()", None, ""),
        ("model = torch.load('../../secret.pth')", CheckpointError, "outside"),
        ("name, data_range = 'x', 3.0", ManifestError, "data_range = 3"),
    ],
)
def test_branches_that_cannot_be_run(tmp_path, branch, kind, said):
    (found,) = find(script(tmp_path / "repository", branch))
    assert found.name == ("07_x" if "'x'" in branch else "07")
    assert (type(found.error), said in found.error.what) == (kind, True) if kind else isinstance(found, Submission)


@pytest.mark.parametrize(
    "branch",
    [
        "name = 'x' * 10**12",
        "name = f'{1:999999999}'",
        "name = '{:999999999}'.format(1)",
        "name = '%999999999d' % 1",
        "name = 9\n" + "name = name * name\n" * 60,
        "name = 'x'\n" + "name = name + name\n" * 60,
        "name = [1]\n" + "name = [name, name]\n" * 60,
        "name = {}\n" + "name = {1: name, 2: name}\n" * 60,
        "name = 'x'\n" + "name = f'{name}{name}'\n" * 60,
        "name = '{0.__class__}'.format(model)",
        "name = " + "(" * 90 + "1" + ")" * 90,
    ],
)
@pytest.mark.timeout(60)
def test_a_script_cannot_take_time_or_memory_of_who_reads_it(tmp_path, branch):
    (found,) = find(script(tmp_path / "repository", branch))
    assert found.name.startswith("07")


def test_a_chain_of_many_teams(tmp_path):
    branches = "".join(f"    elif args.model_id == {number}:\n        name = 'n'\n" for number in range(1, 900))
    start = "def select_model(args, device):\n    if args.model_id == 0:\n        pass\n"
    (tmp_path / "test_demo.py").write_text(start + branches)
    chain = find_chain(tmp_path)
    assert [chain.read(number).name for number in (1, 899)] == ["n", "n"]


# What Python parses and what its module `ast` walks before the recursion limit differs from version to version.
@pytest.mark.parametrize("depth", [400, 900])
def test_a_deep_expression_is_read_or_named(tmp_path, depth):
    (found,) = find(script(tmp_path / "repository", f"name = {'-' * depth}1"))
    error = getattr(found, "error", None)
    assert found.name.startswith("07") if error is None else "no Python" in error.what


@pytest.mark.parametrize("line", ["model = (", f"name = {'-' * 5000}1"])
def test_a_script_that_is_no_python_is_a_row(tmp_path, line):
    repository = script(tmp_path / "repository", line)
    (found,) = find(repository)
    assert "no Python" in found.error.what
    assert found.error.where.startswith(str(repository / "test_demo.py"))


def test_other_scripts_of_that_name_are_none_of_a_challenge(tmp_path):
    (tmp_path / "test_demo.py").write_text("print('hello')\n")
    assert find_chain(tmp_path) is None


@given(st.integers(-(10**8), 10**8))
def test_the_number_of_a_branch_survives_as_its_factory(number):
    assert number_of(factory_of(number)) == number


LITERALS = st.recursive(
    st.integers(-9, 9) | st.floats(-4, 4) | st.text("ab/.", max_size=3) | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.tuples(inner, inner) | st.dictionaries(st.text("ab"), inner),
    max_leaves=6,
)


@given(st.data())
def test_expressions_have_the_values_that_python_gives_them(data):
    one, other = data.draw(LITERALS), data.draw(LITERALS)
    text = data.draw(
        st.sampled_from(
            [
                f"{one!r}",
                f"({one!r}, {other!r})",
                f"{one!r} + {other!r}",
                f"{one!r} * {other!r}",
                f"{one!r} == {other!r}",
                f"os.path.join({one!r}, {other!r})",
                f"f'{{model_id:02}}_{{{len(str(one))}}}'",
                f"{one!r} if model_id == 7 else {other!r}",
                f"{one!r}[{other!r}]",
                f"str({one!r})",
                f"-{one!r}",
            ]
        )
    )
    found = evaluate(ast.parse(text, mode="eval").body, Scope(7, frozenset({"model_id"})))
    if isinstance(found, Known):
        expected = eval(text, {"os": os, "model_id": 7})
        assert (type(found.value), repr(found.value)) == (type(expected), repr(expected))


@pytest.mark.parametrize(
    ("source", "renames"),
    [
        ("{k.replace('module.', ''): v for k, v in weights.items()}", True),
        ("{prefix + k: v for k, v in weights.items()}", True),
        ("{'net.' + k + '.0': v for k, v in weights.items()}", True),
        ("new['net.' + k] = v", True),
        ("name = k + index + '.0'", True),
        ("new[prefix + k] = v", True),
        ("{k: v + delta for k, v in weights.items()}", False),
        ("{prefix + k: v + delta for k, v in weights.items()}", False),
        ("new[prefix + k] = v + other[k]", False),
        ("v = v + other['a' + k]", False),
        ("{k: v * 2 for k, v in weights.items()}", False),
    ],
)
def test_only_names_may_be_added(source, renames):
    assert _only_renames(ast.parse(source)) is renames
