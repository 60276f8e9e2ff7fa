"""The memory of a container is that of its control groups, not that of the host."""

from pathlib import Path

import psutil
import pytest

from harness.machine.main_memory import available_bytes, total_bytes

MIB = 1 << 20


def write_group(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(f"{text}\n")


@pytest.fixture
def membership(tmp_path: Path) -> Path:
    file = tmp_path / "membership"
    file.write_text("0::/system.slice/job.scope\n")
    return file


def test_without_limits_it_is_that_of_the_machine(tmp_path: Path, membership: Path) -> None:
    write_group(tmp_path / "system.slice" / "job.scope", memory__max="max", memory__current=str(5 * MIB))
    assert total_bytes(tmp_path, membership) == psutil.virtual_memory().total
    assert available_bytes(tmp_path, membership) > 100 * MIB
    assert total_bytes(tmp_path / "none", tmp_path / "neither") == psutil.virtual_memory().total


def test_the_tightest_of_all_enclosing_groups_counts(tmp_path: Path, membership: Path) -> None:
    slice_, scope = tmp_path / "system.slice", tmp_path / "system.slice" / "job.scope"
    write_group(scope, memory__max=str(90 * MIB), memory__current=str(10 * MIB))
    write_group(slice_, memory__max=str(64 * MIB), memory__current=str(40 * MIB), memory__stat="")
    assert total_bytes(tmp_path, membership) == 64 * MIB
    assert available_bytes(tmp_path, membership) == 24 * MIB
    # The kernel takes pages of files back.
    write_group(slice_, memory__stat=f"anon 1\nactive_file {2 * MIB}\ninactive_file {1 * MIB}\n")
    assert available_bytes(tmp_path, membership) == 27 * MIB
    write_group(slice_, memory__current=str(80 * MIB))
    assert available_bytes(tmp_path, membership) == 0


@pytest.mark.parametrize("path", ["/docker/0123", "/"])
def test_a_container_of_version_1_names_a_folder_that_only_the_host_has(tmp_path: Path, path: str) -> None:
    (tmp_path / "membership").write_text(f"5:cpu,cpuacct:{path}\n4:memory:{path}\n1:name=systemd:{path}\n0::/\n")
    limit = {"memory__limit_in_bytes": str(32 * MIB), "memory__usage_in_bytes": str(30 * MIB)}
    write_group(
        tmp_path / "memory",
        **limit,
        memory__stat=f"inactive_file 0\ntotal_inactive_file {2 * MIB}\ntotal_active_file 0\n",
    )
    write_group(tmp_path / "cpu", memory__limit_in_bytes="1", memory__usage_in_bytes="0")
    assert total_bytes(tmp_path, tmp_path / "membership") == 32 * MIB
    assert available_bytes(tmp_path, tmp_path / "membership") == 4 * MIB
