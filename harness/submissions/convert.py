"""Convert a checkpoint to safetensors, a format that cannot contain code."""

from __future__ import annotations

from pathlib import Path

from harness.errors import UsageError
from harness.files import atomic_file
from harness.submissions.checkpoint import read_state_dict


def convert(path: Path, out: Path, *, trust_pickle: bool = False) -> int:
    """Write the tensors of ``path`` to the safetensors file ``out`` and return their number.

    Wrappers (``params_ema``, ``state_dict``...) and the prefix ``module.`` are removed; dtypes are kept.

    Parameters
    ----------
    path
        Checkpoint, see :func:`harness.submissions.checkpoint.read_state_dict`.
    out
        File to write; must end in ``.safetensors``.
    trust_pickle
        Whether to execute code in the pickle; only for files from a trusted source.

    Raises
    ------
    CheckpointError
        ``path`` is not a checkpoint, or contains code and ``trust_pickle`` is False.
    UsageError
        ``out`` exists or does not end in ``.safetensors``.
    """
    from safetensors.torch import save

    if out.suffix != ".safetensors":
        raise UsageError("the output must end in .safetensors", where=str(out), hint=f"write to {out.stem}.safetensors")
    if out.exists():
        raise UsageError("the output exists already", where=str(out), hint="remove it or choose another name")
    state = read_state_dict(path, trust_pickle=trust_pickle)
    # The format rejects tensors that share memory, such as tied weights, so each tensor is copied.
    blob = save({name: tensor.detach().clone().contiguous() for name, tensor in state.items()})
    with atomic_file(out) as file:
        file.write(blob)
    return len(state)
