import contextlib
import io
import os
import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save, save_file

from harness.errors import CheckpointError, UsageError
from harness.submissions.checkpoint import misfits, read_state_dict, strip_prefix
from harness.submissions.convert import convert

STATE = {"conv.weight": torch.arange(12.0).reshape(3, 4), "conv.bias": torch.zeros(3)}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("wrapper", [None, "params_ema", "params", "state_dict", "model_state_dict", "model", "net"])
@pytest.mark.parametrize("legacy", [False, True])
def test_wrappers_and_formats(tmp_path, wrapper, legacy):
    content = STATE if wrapper is None else {"epoch": 3, wrapper: STATE, "optimizer": {"lr": 0.1}}
    torch.save(content, tmp_path / "c.pth", _use_new_zipfile_serialization=not legacy)
    assert same(read_state_dict(tmp_path / "c.pth"), STATE)


def test_averaged_weights_are_preferred(tmp_path):
    other = {key: value + 1 for key, value in STATE.items()}
    torch.save({"params": other, "params_ema": STATE}, tmp_path / "c.pth")
    assert same(read_state_dict(tmp_path / "c.pth"), STATE)


def test_safetensors_by_content_whatever_its_name(tmp_path):
    save_file(STATE, tmp_path / "c.pth")
    assert same(read_state_dict(tmp_path / "c.pth"), STATE)


def test_prefixes():
    prefixed = {f"module.{key}": value for key, value in STATE.items()}
    assert same(strip_prefix(prefixed), STATE)
    assert same(strip_prefix({f"network.{key}": value for key, value in prefixed.items()}), STATE)
    own = {"network.conv.weight": STATE["conv.weight"], "network.conv.bias": STATE["conv.bias"]}
    assert same(strip_prefix(dict(own), own.keys()), own)
    assert same(strip_prefix({f"module.{k}": v for k, v in own.items()}, own.keys()), own)
    assert same(strip_prefix({f"net.{key}": value for key, value in STATE.items()}, STATE.keys()), STATE)


def test_misfits_are_listed_and_bounded():
    assert misfits(STATE, STATE) is None
    many = {f"layer{i}": torch.zeros(1) for i in range(30)}
    said = misfits(many, STATE)
    assert said.startswith("2 missing: conv.weight, conv.bias; 30 unexpected: layer0")
    assert said.endswith("and 22 more")


class Wants:
    def __reduce__(self):
        return (print, ("executed",))


@pytest.mark.parametrize("legacy", [False, True])
def test_a_pickle_that_wants_code_is_not_executed(tmp_path, capsys, legacy):
    torch.save({"params": STATE, "x": Wants()}, tmp_path / "c.pth", _use_new_zipfile_serialization=not legacy)
    with pytest.raises(CheckpointError, match=r"wants to run code .*\((?:builtins\.)?print\).*harness convert"):
        read_state_dict(tmp_path / "c.pth")
    assert capsys.readouterr().out == ""


def test_a_whole_module_is_refused_and_converted_on_trust(tmp_path):
    torch.save(torch.nn.Conv2d(3, 3, 1), tmp_path / "c.pth")
    with pytest.raises(CheckpointError, match=r"torch\.nn\.modules\.conv\.Conv2d"):
        convert(tmp_path / "c.pth", tmp_path / "c.safetensors")
    assert not (tmp_path / "c.safetensors").exists()
    assert convert(tmp_path / "c.pth", tmp_path / "c.safetensors", trust_pickle=True) == 2
    assert load_file(tmp_path / "c.safetensors")["weight"].shape == (3, 3, 1, 1)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_convert_unshares_tied_weights_and_keeps_what_exists(tmp_path):
    torch.save({"a": STATE["conv.weight"], "b": STATE["conv.weight"]}, tmp_path / "c.pth")
    assert convert(tmp_path / "c.pth", tmp_path / "c.safetensors") == 2
    with pytest.raises(UsageError, match="exists already"):
        convert(tmp_path / "c.pth", tmp_path / "c.safetensors")
    with pytest.raises(UsageError, match="must end in"):
        convert(tmp_path / "c.pth", tmp_path / "c.bin")


def torch_bytes(content) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def compressed() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(torch_bytes(STATE))) as source, zipfile.ZipFile(buffer, "w") as sink:
        for entry in source.infolist():
            sink.writestr(entry.filename, source.read(entry), zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html><body>Sign in</body></html>", "web page"),
        (b"\n <HTML>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "git lfs pull"),
        (torch_bytes(STATE)[:-200], "truncated or damaged"),
        (b"weights", "neither a safetensors file nor"),
        (pickle.dumps({"a": 1}), "pickle of objects"),
        (b"\x80\x02garbage", "damaged"),
        (torch_bytes({"a": 1}), "contains no named tensors"),
        (torch_bytes([STATE["conv.bias"]]), "contains no named tensors"),
        (torch_bytes({"a": torch.eye(4).to_sparse()}), "sparse"),
        (torch_bytes({"a": torch.zeros(1).expand(2**20, 2**20)}), r"take 4096\.0 GiB, the limit is 4\.0 GiB"),
        (compressed(), "compressed zip"),
        ((2**40).to_bytes(8, "little") + b"{}", "not a complete safetensors"),
    ],
)
def test_what_is_no_checkpoint_says_what_it_is(tmp_path, content, said):
    path = tmp_path / "checkpoint.pth"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=said) as caught:
        read_state_dict(path)
    assert str(caught.value).startswith(str(path))


def test_the_limit_counts_before_anything_is_read(tmp_path):
    save_file(STATE, tmp_path / "c.safetensors")
    torch.save(STATE, tmp_path / "c.pth")
    for name in ("c.safetensors", "c.pth"):
        with pytest.raises(CheckpointError, match="the limit is"):
            read_state_dict(tmp_path / name, limit_bytes=40)


def test_a_missing_file(tmp_path):
    with pytest.raises(CheckpointError, match="cannot be opened"):
        read_state_dict(tmp_path / "none.pth")


def test_public_checkpoints(shared: Path):
    state = read_state_dict(shared / "weights" / "rt4ksr_x2.pth")
    assert not any(key.startswith("module.") for key in state)
    assert sum(value.numel() for value in read_state_dict(shared / "weights" / "bicubic_pp_x3.pth").values()) == 50_400
    assert len(read_state_dict(shared / "weights" / "imdn_x2.pth")) > 50


EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "150"))


def safetensors_bytes() -> bytes:
    return save(STATE)


def legacy_bytes() -> bytes:
    buffer = io.BytesIO()
    torch.save({"params": STATE}, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [torch_bytes({"params": STATE}), safetensors_bytes(), legacy_bytes()],
    ids=["zip", "safetensors", "legacy"],  # the bytes differ from process to process
)
@settings(max_examples=EXAMPLES, deadline=None)
@given(data=st.data())
def test_only_checkpoint_errors_come_out_of_a_mutated_file(tmp_path_factory, content, data):
    raw = bytearray(content)
    for _ in range(data.draw(st.integers(1, 6))):
        raw[data.draw(st.integers(0, min(len(raw) - 1, 900)))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "fuzzed.pth"
    path.write_bytes(raw)
    with contextlib.suppress(CheckpointError):
        assert all(isinstance(value, torch.Tensor) for value in read_state_dict(path).values())
