"""No loader executes code that a file carries, unless the file is trusted."""

import contextlib
import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from harness.errors import SubmissionError
from harness.submissions.checkpoint import read_state_dict
from harness.submissions.loaders import LOADERS
from harness.worker.filling import Reading
from harness.worker.loader import load

FRAME = torch.rand(1, 3, 17, 20, generator=torch.Generator().manual_seed(0))
MODEL = "models/model.json"
WEIGHTS = "data/weights/model_weights_config.json"
SAMPLES = "data/sample_inputs/model.pt"

pytestmark = pytest.mark.filterwarnings("default")


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 12, 3, padding=1)

    def forward(self, x):
        x = torch.nn.functional.pad(self.conv(x), (1, 1, 1, 1), mode="reflect")
        return torch.relu_(torch.pixel_shuffle(x[:, :, 1:-1, 1:-1], 2))


class Touches:
    """An object whose pickle makes a file when it is read."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    torch.manual_seed(1)
    net = Net().eval()
    path = tmp_path_factory.mktemp("honest") / "x2.pt2"
    sides = {2: torch.export.Dim("height", min=8, max=4096), 3: torch.export.Dim("width", min=8, max=4096)}
    torch.export.save(torch.export.export(net, (FRAME,), dynamic_shapes=(sides,)), path)
    return net, path


def changed(path: Path, target: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """Write the archive `path` to `target` with its records changed."""
    with zipfile.ZipFile(path) as archive:
        records = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
    change(records)
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in records.items():
            archive.writestr(f"archive/{name}", content)
    return target


def edit(record: str, change: Callable[[dict], None]) -> Callable[[dict[str, bytes]], None]:
    def apply(records: dict[str, bytes]) -> None:
        content = json.loads(records[record])
        change(content)
        records[record] = json.dumps(content).encode()

    return apply


def saved(content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def load_file(path: Path, loader: str = "torch_export", *, trust_pickle: bool = False):
    return load(path.parent, f"harness.loaders:{loader}", 2, Path(path.name), Reading(trust_pickle=trust_pickle))


def test_a_program_is_loaded_with_its_weights(honest):
    net, path = honest
    loaded = load_file(path)
    with torch.no_grad():
        assert torch.equal(loaded.network(FRAME), net(FRAME))
    assert sum(p.numel() for p in loaded.network.parameters()) == 12 * 3 * 9 + 12
    assert not any("executed code" in note for note in loaded.notes)


def test_sample_inputs_are_not_read(honest, tmp_path):
    net, path = honest
    marker = tmp_path / "marker"
    hostile = changed(path, tmp_path / "x2.pt2", lambda records: records.update({SAMPLES: saved((Touches(marker),))}))
    with torch.no_grad():
        assert torch.equal(load_file(hostile).network(FRAME), net(FRAME))
    assert not marker.exists()
    with contextlib.suppress(TypeError):  # a fault in a log message of torch
        torch.export.load(hostile)  # the attack is real
    assert marker.exists()


def pickled_weight(records, marker):
    def change(config):
        first = next(iter(config["config"].values()))
        first["use_pickle"] = True

    edit(WEIGHTS, change)(records)
    records["data/weights/weight_0"] = saved(Touches(marker))


def pickled_weight_elsewhere(records, marker):
    edit(WEIGHTS, lambda config: next(iter(config["config"].values())).update(path_name="../sample_inputs/model"))(
        records
    )
    records[SAMPLES] = saved(Touches(marker))


def legacy_weights(records, marker):
    records["data/weights/model.pt"] = saved({"conv.weight": Touches(marker)})


def opaque_constant(records, marker):
    records["data/constants/opaque_obj_0"] = pickle.dumps(Touches(marker))


def compiled_library(records, marker):
    records["data/aotinductor/model/x.so"] = b"\x7fELF"


def second_model(records, marker):
    records["models/other.json"] = records[MODEL]


def call_of_a_function(records, marker):
    def change(model):
        node = model["graph_module"]["graph"]["nodes"][0]
        node["target"] = "torch.os.system"

    edit(MODEL, change)(records)


def operator_that_writes_files(records, marker):
    edit(MODEL, lambda m: m["graph_module"]["graph"]["nodes"][0].update(target="torch.ops.aten.save.default"))(records)


def operator_of_another_library(records, marker):
    edit(MODEL, lambda m: m["graph_module"]["graph"]["nodes"][0].update(target="torch.ops.mine.op.default"))(records)


def extension_operator(records, marker):
    edit(MODEL, lambda m: m["graph_module"]["graph"]["nodes"][0].update(target="#mine:op"))(records)


def evaluated_size(records, marker):
    text = f"__import__('pathlib').Path({str(marker)!r}).touch() or Integer(1)"

    def change(model):
        sizes = next(iter(model["graph_module"]["graph"]["tensor_values"].values()))["sizes"]
        sizes[0] = {"as_expr": {"expr_str": text, "hint": None}}

    edit(MODEL, change)(records)


def evaluated_size_by_attribute(records, marker):
    text = "Integer(1).__class__.__mro__[1].__subclasses__()"

    def change(model):
        sizes = next(iter(model["graph_module"]["graph"]["tensor_values"].values()))["sizes"]
        sizes[0] = {"as_expr": {"expr_str": text, "hint": None}}

    edit(MODEL, change)(records)


def name_that_is_source(records, marker):
    text = records[MODEL].decode()
    records[MODEL] = text.replace('"name": "conv2d"', '"name": "conv2d = 1; import os; conv2d"').encode()


def container_that_imports(records, marker):
    def change(model):
        signature = model["graph_module"]["module_call_graph"][0]["signature"]
        signature["out_spec"] = json.dumps(
            [1, {"type": "collections.defaultdict", "context": "{}", "children_spec": []}]
        )

    edit(MODEL, change)(records)


@pytest.mark.parametrize(
    "attack",
    [
        pickled_weight, pickled_weight_elsewhere, legacy_weights, opaque_constant, compiled_library, second_model,
        call_of_a_function, operator_that_writes_files, operator_of_another_library, extension_operator,
        evaluated_size, evaluated_size_by_attribute, name_that_is_source, container_that_imports,
    ],
)  # fmt: skip
def test_a_program_with_code_is_refused(attack, honest, tmp_path):
    marker = tmp_path / "marker"
    hostile = changed(honest[1], tmp_path / "x2.pt2", lambda records: attack(records, marker))
    with pytest.raises(SubmissionError, match="which is not executed") as caught:
        load_file(hostile)
    assert caught.value.where == "x2.pt2"
    assert "--trust-pickle" in str(caught.value)
    assert not marker.exists()


def test_guards_are_not_compiled(honest, tmp_path):
    net, path = honest
    code = f"__import__('pathlib').Path({str(tmp_path / 'marker')!r}).touch() is None"
    hostile = changed(path, tmp_path / "x2.pt2", edit(MODEL, lambda model: model["guards_code"].append(code)))
    with torch.no_grad():
        assert torch.equal(load_file(hostile).network(FRAME), net(FRAME))
    assert not (tmp_path / "marker").exists()


def test_the_format_of_older_releases_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "x2.pt2", "w") as archive:
        archive.writestr("version", "8.8")
        archive.writestr("serialized_state_dict.pt", saved({"a": Touches(tmp_path / "marker")}))
    with pytest.raises(SubmissionError, match=r"format of torch 2.8 and older"):
        load_file(tmp_path / "x2.pt2")
    assert not (tmp_path / "marker").exists()


def test_a_trusted_program_is_loaded_and_the_row_says_so(honest, tmp_path):
    marker = tmp_path / "marker"
    hostile = changed(honest[1], tmp_path / "x2.pt2", lambda records: pickled_weight(records, marker))
    with pytest.raises(SubmissionError):  # what the pickle returns is no tensor
        load_file(hostile, trust_pickle=True)
    assert marker.exists()
    harmless = changed(honest[1], tmp_path / "y2.pt2", lambda records: records.update({"note": b""}))
    assert any("executed code" in note for note in load_file(harmless, trust_pickle=True).notes)


@pytest.mark.parametrize("damage", [b"", b"PK", b"PK\x05\x06" + bytes(18)])
def test_a_damaged_program_is_an_error_of_the_submission(damage, tmp_path):
    (tmp_path / "x2.pt2").write_bytes(damage)
    with pytest.raises(SubmissionError, match="no exported program"):
        load_file(tmp_path / "x2.pt2")


def test_a_checkpoint_without_code_of_its_own_is_not_unpickled(tmp_path):
    content = saved({"state_dict": {"a": torch.zeros(1)}, "hook": Touches(tmp_path / "marker")})
    (tmp_path / "x2.pth").write_bytes(content)
    with pytest.raises(SubmissionError, match="wants to run code"):
        read_state_dict(tmp_path / "x2.pth")
    assert not (tmp_path / "marker").exists()


def test_a_torchscript_archive_is_no_checkpoint(tmp_path):
    torch.jit.trace(nn.Conv2d(3, 3, 1), torch.rand(1, 3, 4, 4)).save(str(tmp_path / "x2.pt"))
    with pytest.raises(SubmissionError):
        read_state_dict(tmp_path / "x2.pt")


def test_an_onnx_model_cannot_name_code_or_files_outside(tmp_path):
    pytest.importorskip("onnxruntime")
    onnx = pytest.importorskip("onnx")
    helper = onnx.helper
    image = [helper.make_tensor_value_info(name, 1, [1, 3, "h", "w"]) for name in "xy"]

    def write(name: str, nodes: list, weights: list, domains: list) -> Path:
        graph = helper.make_graph(nodes, "net", image[:1], image[1:], weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid(d, 17) for d in domains], ir_version=8)
        (tmp_path / name).write_bytes(model.SerializeToString())
        return tmp_path / name

    foreign = write("foreign.onnx", [helper.make_node("Run", ["x"], ["y"], domain="mine")], [], ["", "mine"])
    with pytest.raises(SubmissionError, match="no ONNX model that runs here"):
        load_file(foreign, "onnx")

    secret = tmp_path / "secret"
    secret.write_bytes(bytes(12))
    (tmp_path / "inner").mkdir()
    weight = onnx.TensorProto(name="w", data_type=1, dims=[3], data_location=onnx.TensorProto.EXTERNAL)
    for key, value in (("location", "../secret"), ("length", "12")):
        weight.external_data.add(key=key, value=value)
    model = write("inner/outside.onnx", [helper.make_node("Conv", ["x", "w"], ["y"])], [weight], [""])
    with pytest.raises(SubmissionError, match="no ONNX model that runs here"):
        load_file(model, "onnx")


def test_every_loader_of_the_project_is_examined_here():
    own = {p.name for p in LOADERS.plugins() if p.target.startswith("harness.")}
    assert own == {"onnx", "spandrel", "torch_export"}
