"""Convert a checkpoint of any kind to safetensors, which can hold nothing but tensors."""

from __future__ import annotations

from pathlib import Path

from harness.errors import UsageError
from harness.files import atomic_file
from harness.submissions.checkpoint import read_state_dict


def convert(path: Path, out: Path, *, trust_pickle: bool = False) -> int:
    """Write the tensors of ``path`` to the safetensors file ``out`` and return how many there are.

    Wrappers (``params_ema``, ``state_dict``...) and the prefix ``module.`` are removed; types stay as stored.

    Parameters
    ----------
    trust_pickle
        Execute the code in the pickle: for files whose origin you trust.

    Raises
    ------
    CheckpointError
        ``path`` is no checkpoint, or wants code and ``trust_pickle`` is False.
    UsageError
        ``out`` exists or does not end in ``.safetensors``.
    """
    from safetensors.torch import save

    if out.suffix != ".safetensors":
        raise UsageError("the output must end in .safetensors", where=str(out), hint=f"write to {out.stem}.safetensors")
    if out.exists():
        raise UsageError("the output exists already", where=str(out), hint="remove it or choose another name")
    state = read_state_dict(path, trust_pickle=trust_pickle)
    # Tied weights share memory, which the format refuses: every tensor gets its own.
    blob = save({name: tensor.detach().clone().contiguous() for name, tensor in state.items()})
    with atomic_file(out) as file:
        file.write(blob)
    return len(state)
