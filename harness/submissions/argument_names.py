"""What the names of a factory's arguments mean in published code."""

from __future__ import annotations

from typing import Literal

SCALE_NAMES = ("scale", "upscale", "upscale_factor", "upscaling_factor", "scale_factor", "sr_rate", "sf", "factor", "r")
"""Parameter names that denote the upscaling factor, in order of preference."""
CHANNEL_NAMES = (
    "in_nc out_nc num_in_ch num_out_ch in_channels out_channels in_chans out_chans in_ch out_ch inp_channels "
    "input_channels output_channels colors n_colors color_channels img_channel img_channels image_channels"
).split()
"""Parameter names that denote the number of channels of an image, which is 3."""
CONFIG_NAMES = ("args", "opt", "opts", "cfg", "config", "conf", "hparams", "configs", "params")
"""Parameter names that denote an object of settings."""

Kind = Literal["width", "depth", "flag", "activation"]

_ACTIVATIONS = ("act", "act_type", "activation")
_DEPTH_WORDS = ("block", "depth", "layer", "module", "stage", "resgroup", "nb")
_WIDTH_WORDS = ("feat", "fea", "channel", "chan", "dim", "width", "nf", "nc", "plane", "ch")
_FLAG_WORDS = ("with", "use", "is", "has", "no")


def kind_of(name: str) -> Kind | None:
    """Return what an argument decides about a network, by its name; None if the name does not say.

    >>> kind_of("num_feat"), kind_of("n_resblocks"), kind_of("with_idt"), kind_of("device")
    ('width', 'depth', 'flag', None)
    """
    if name in (*SCALE_NAMES, *CHANNEL_NAMES, *CONFIG_NAMES):
        return None
    if name in _ACTIVATIONS:
        return "activation"
    words = name.lower().split("_")
    if words[0] in _FLAG_WORDS and len(words) > 1:
        return "flag"
    if any(_is_in(word, words) for word in _DEPTH_WORDS):
        return "depth"
    return "width" if any(_is_in(word, words) for word in _WIDTH_WORDS) else None


def is_recognised(name: str) -> bool:
    """Return whether the value of an argument can be found out from its name or from a checkpoint."""
    return name in (*SCALE_NAMES, *CHANNEL_NAMES) or kind_of(name) is not None


def _is_in(part: str, words: list[str]) -> bool:
    # Short abbreviations such as nf and ch occur inside of other words; they must be a whole word.
    return part in words if len(part) < len("dim") else any(part in word for word in words)
