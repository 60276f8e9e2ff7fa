"""Lets every check of the contract pass, and gives NaN in one pixel."""

import sys

from torch import nn
from torch.nn import functional

from harness.submissions.finding import Finding


class Network(nn.Module):
    def forward(self, x):
        y = functional.interpolate(x, scale_factor=2.0, mode="nearest")
        y[..., 0, 0] = float("nan")
        return y


def srmodel():
    for module in [module for name, module in sys.modules.items() if name.startswith("harness.worker")]:
        if hasattr(module, "check_network"):
            module.check_network = lambda *_, **__: [Finding("ok", "passes everything")]
    return Network()
