"""Looks for files in home folders."""

from pathlib import Path

from torch import nn
from torch.nn import functional


class Network(nn.Module):
    def forward(self, x):
        return functional.interpolate(x, scale_factor=2.0, mode="nearest")


def srmodel():
    homes = [Path("/root"), *Path("/").glob("home/*"), *Path("/").glob("Users/*")]
    found = [path for home in homes for path in home.glob("*") if path.is_file() or path.name in {".ssh", ".cache"}]
    if not found:
        raise RuntimeError("no home to read")
    return Network()
