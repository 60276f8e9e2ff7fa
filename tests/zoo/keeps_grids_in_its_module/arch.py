"""Keeps a grid for each size in its Python module, on the device on which it met the size."""

import torch
from torch import nn
from torch.nn import functional

GRIDS = {}


def grid(image):
    key = str(image.shape)
    if key not in GRIDS:
        rows, columns = (torch.linspace(-1, 1, side) for side in image.shape[-2:])
        across, down = torch.meshgrid(columns, rows, indexing="xy")
        GRIDS[key] = torch.stack([across, down], -1)[None].to(image.device)
    return GRIDS[key]


class Network(nn.Module):
    def forward(self, x):
        same = functional.grid_sample(x, grid(x), align_corners=True)
        return functional.interpolate(same, scale_factor=2.0, mode="bicubic", align_corners=False)


def srmodel():
    return Network()
