"""Checkpoints in the layouts that training scripts write: prefixes, wrappers, averaged copies."""

import itertools
import re

import pytest
import torch
from torch import nn

from harness.errors import CheckpointError
from harness.submissions.checkpoint import read_state_dict, read_weights
from harness.submissions.state_dicts import StateDict, choose, fitting, state_dicts
from harness.worker.filling import Reading, fill


def network(value=0.0):
    made = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Sequential(nn.Conv2d(4, 12, 1)))
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.fill_(value)
    return made


ONLINE, AVERAGED = network(1.0).state_dict(), network(2.0).state_dict()
EXPECTED = network().state_dict()
PREFIXES = (
    *("", "module.", "model.", "net.", "net_g.", "netG.", "G.", "generator.", "_orig_mod.", "anything.at.all."),
    *("model._orig_mod.", "module.model.", "module.module.net_g.", "_orig_mod.module.G."),
)
WRAPPERS = (
    *((), ("params",), ("state_dict",), ("model_state_dict",), ("model",), ("net",), ("net_g",), ("generator",)),
    *(("weights",), ("model", "state_dict"), ("checkpoint", "model", "params")),
)
# How averaged weights are stored beside the others.
PAIRS = (
    *(("params", "params_ema"), ("state_dict", "state_dict_ema"), ("model", "model_ema"), ("model", "ema")),
    *(("state_dict", "ema_state_dict"), ("net_g", "net_g_ema"), ("generator", "g_ema"), ("model", "modelEMA")),
    *(("model", "swa_model"), ("model", "averaged_model"), ("net", "ema_model"), ("weights", "shadow")),
    *(("model", "emamodel"), ("net", "netEMA"), ("net", "EMANet"), ("model", "modelema"), ("schema", "cinema_avg")),
)
TRAINING = {"epoch": 3, "optimizer": {"state": {0: {"exp_avg": torch.ones(4)}}, "param_groups": [{"lr": 0.1}]}}


def prefixed(state, prefix):
    return {prefix + key: value for key, value in state.items()}


def wrapped(state, path):
    for key in reversed(path):
        state = {key: state, **TRAINING}
    return state


def chosen(content, key=None):
    return choose(fitting(state_dicts(content), EXPECTED), key, "file")


def is_state(found, state):
    return found is not None and found.tensors.keys() == state.keys() and all(
        torch.equal(found.tensors[name], tensor) for name, tensor in state.items()
    )  # fmt: skip


def test_every_prefix_in_every_wrapper_is_found():
    for prefix, path in itertools.product(PREFIXES, WRAPPERS):
        assert is_state(chosen(wrapped(prefixed(ONLINE, prefix), path)), ONLINE), (prefix, path)


def test_averaged_weights_are_preferred_in_every_layout():
    for prefix, (online, averaged), outer in itertools.product(PREFIXES, PAIRS, ((), ("checkpoint",))):
        content = wrapped({online: prefixed(ONLINE, prefix), averaged: prefixed(AVERAGED, prefix), **TRAINING}, outer)
        assert is_state(chosen(content), AVERAGED), (prefix, averaged)
        assert is_state(chosen(content, online), ONLINE), (prefix, online)
        reversed_content = dict(reversed(content.items()))
        assert is_state(chosen(reversed_content), AVERAGED), (prefix, averaged)


@pytest.mark.parametrize("prefix", ["", "module.", "model._orig_mod."])
def test_two_copies_in_one_flat_state_dict(prefix):
    flat = prefixed(ONLINE, f"{prefix}net.") | prefixed(AVERAGED, f"{prefix}net_ema.") | {"loss.vgg": torch.ones(3)}
    assert is_state(chosen({"state_dict": flat}), AVERAGED)
    assert is_state(chosen({"state_dict": flat}, f"{prefix}net"), ONLINE)


def test_an_averaged_model_of_torch(tmp_path):
    trained = torch.optim.swa_utils.AveragedModel(network(2.0))
    torch.save({"model": ONLINE, "swa": trained.state_dict()}, tmp_path / "c.pth")
    weights = read_weights(tmp_path / "c.pth", expected=EXPECTED)
    assert all(torch.equal(weights.tensors[key], tensor) for key, tensor in AVERAGED.items())
    torch.save(trained.state_dict(), tmp_path / "c.pth")
    assert read_state_dict(tmp_path / "c.pth", expected=EXPECTED).keys() == EXPECTED.keys()


def test_weights_of_the_network_inside_a_wrapper_that_the_factory_returns(tmp_path):
    torch.save({"params": ONLINE}, tmp_path / "c.pth")
    outer = nn.Module()
    outer.add_module("_orig_mod", network())
    state = read_state_dict(tmp_path / "c.pth", expected=outer.state_dict())
    assert state.keys() == outer.state_dict().keys()


def test_a_list_of_state_dicts_is_searched(tmp_path):
    for content in ([ONLINE], (3, ONLINE), {"models": [ONLINE]}, {"epoch": 3, "networks": ((1, {"params": ONLINE}),)}):
        torch.save(content, tmp_path / "c.pth")
        assert is_state(chosen(torch.load(tmp_path / "c.pth", weights_only=True)), ONLINE)
    with pytest.raises(CheckpointError, match=r"models/0, models/1.*weights_key"):
        chosen({"models": [ONLINE, AVERAGED]})
    assert is_state(chosen({"models": [ONLINE, AVERAGED]}, "models/1"), AVERAGED)


def test_averaged_parameters_without_names_are_assigned_in_their_order(tmp_path):
    """torch_ema keeps ``[p.clone() for p in network.parameters()]``, without buffers."""
    shadow = [parameter.detach().clone() for parameter in network(2.0).parameters()]
    torch.save({"model": ONLINE, "ema": {"decay": 0.9, "shadow_params": shadow}}, tmp_path / "c.pth")
    weights = read_weights(tmp_path / "c.pth", expected=EXPECTED)
    assert is_state(StateDict((), weights.tensors), AVERAGED)
    assert weights.notes == [
        "loaded ema/shadow_params of c.pth, the averaged weights; it also holds model (weights_key chooses)"
    ]
    assert is_state(chosen({"model": ONLINE, "ema": shadow}, "model"), ONLINE)
    torch.save({"model": ONLINE, "ema": {"shadow_params": shadow[1:]}}, tmp_path / "c.pth")
    weights = read_weights(tmp_path / "c.pth", expected=EXPECTED)
    assert is_state(StateDict((), weights.tensors), ONLINE)
    assert "ema/shadow_params of c.pth, averaged weights without names, do not fit" in weights.notes[0]
    assert read_state_dict(tmp_path / "c.pth").keys() == EXPECTED.keys()  # where the network is not known


WRAPPED_PARTS = ("_orig_mod", "module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_orig_mod.module")


@pytest.mark.parametrize("part", WRAPPED_PARTS)
@pytest.mark.parametrize("prefix", ["", "module.", "net_g."])
def test_wrapped_parts_are_found_in_both_directions(part, prefix):
    inside = {key.replace("2.0", f"2.{part}.0"): tensor for key, tensor in ONLINE.items()}
    assert is_state(chosen({"params": prefixed(inside, prefix)}), ONLINE)
    found = choose(fitting(state_dicts({"params": prefixed(ONLINE, prefix)}), inside), None, "file")
    assert is_state(found, inside)


def test_two_parts_that_differ_by_their_wrapper_only_are_not_mixed():
    both = {"module.weight": torch.ones(1), "_orig_mod.weight": torch.zeros(1)}
    assert fitting(state_dicts({"params": both}), {"weight": torch.ones(1)}) != []  # each by its prefix
    assert fitting(state_dicts({"params": both}), {"weight": torch.ones(1), "bias": torch.ones(1)}) == []


def test_the_state_of_an_optimizer_is_no_averaged_copy():
    assert is_state(chosen({"model": ONLINE, "optimizer": {"exp_avg": AVERAGED}}), ONLINE)
    assert is_state(chosen({"optimizer_state": {"ema": AVERAGED}, "model": ONLINE}), ONLINE)


def test_the_choice_is_noted(tmp_path):
    torch.save({"state_dict": ONLINE, "state_dict_ema": AVERAGED}, tmp_path / "c.pth")
    made = network()
    (note,) = fill(made, tmp_path / "c.pth", Reading(2**20), loads_itself=False)
    assert "loaded state_dict_ema of c.pth, the averaged weights; it also holds state_dict" in note
    assert float(made[0].weight.detach().max()) == 2.0
    fill(made, tmp_path / "c.pth", Reading(2**20, key="state_dict"), loads_itself=False)
    assert float(made[0].weight.detach().max()) == 1.0


def test_weights_of_another_scale_are_told_apart_by_their_shapes():
    wide = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Sequential(nn.Conv2d(4, 27, 1))).state_dict()
    assert is_state(chosen({"x3": wide, "x2": ONLINE}), ONLINE)


def test_copies_that_differ_without_a_usual_name_are_in_doubt():
    with pytest.raises(CheckpointError, match=r'several sets of weights that fit: first, second.*eights_key = "first"'):
        chosen({"first": ONLINE, "second": AVERAGED})
    assert is_state(chosen({"first": ONLINE, "second": dict(ONLINE)}), ONLINE)
    with pytest.raises(CheckpointError, match=r"ema_0\.99, ema_0\.999"):
        chosen({"model": ONLINE, "ema_0.99": AVERAGED, "ema_0.999": ONLINE})


@pytest.mark.parametrize(
    ("content", "key", "said"),
    [
        ({"config": {"a": 1}, "epoch": 3}, None, "contains no named tensors .*with the keys config, epoch"),
        ({"encoder": {"w": torch.ones(1)}, "decoder": {"v": torch.ones(1)}}, None, "holds several.*encoder, decoder"),
        (
            {"params": ONLINE, "params_ema": AVERAGED},
            "ema",
            "no weights called ema.*eights_key may be params, params_",
        ),
        ([torch.ones(1)], None, "contains a list"),
        ({}, None, "without keys"),
    ],
)
def test_messages_name_the_keys(tmp_path, content, key, said):
    torch.save(content, tmp_path / "c.pth")
    with pytest.raises(CheckpointError, match=said):
        read_state_dict(tmp_path / "c.pth", key=key)


def test_what_fits_nowhere_is_compared_with_the_closest(tmp_path):
    lacking = {key: tensor for key, tensor in ONLINE.items() if key != "0.bias"}
    torch.save({"optimizer": TRAINING["optimizer"], "weights": prefixed(lacking, "module.")}, tmp_path / "c.pth")
    with pytest.raises(CheckpointError, match=re.escape("1 missing: 0.bias")):
        fill(network(), tmp_path / "c.pth", Reading(2**20), loads_itself=False)


def test_torchscript_is_called_by_its_name(tmp_path):
    torch.jit.trace(network().eval(), torch.rand(1, 3, 8, 8)).save(str(tmp_path / "c.pth"))
    with pytest.raises(CheckpointError, match=r"is a TorchScript program.*torch\.jit\.load"):
        read_state_dict(tmp_path / "c.pth")


def test_a_mapping_that_holds_itself_ends():
    content = {"params": dict(ONLINE)}
    content["params"]["again"] = content
    assert is_state(chosen(content), ONLINE)
