"""Run a network once and count what its operators and modules do.

Counts are taken where torch dispatches operators, below Python: functional forms, checkpointed, scripted and exported
networks, and functions with their own backward are seen as what they execute. On the meta device nothing is computed,
so that a network can be counted at its full size.
"""

from __future__ import annotations

import math
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch._ops import HigherOrderOperator
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from harness.complexity.hidden_weights import HiddenWeights, storage_of
from harness.complexity.meta_shapes import call_on_meta
from harness.complexity.operators import can_hold_macs, cost_of, has_formula
from harness.complexity.parameters import parameters_of
from harness.complexity.threads import entered_by_threads

Shape = tuple[int, ...]

# Modules that the report of NTIRE 2023 counts as one per output element.
_RELU_FAMILY = (nn.ReLU, nn.PReLU, nn.ELU, nn.LeakyReLU, nn.ReLU6)
_CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)
# The Python function, and the built-in function that it calls and that code may call directly.
_ADAPTIVE_POOLING = (functional.adaptive_avg_pool2d, torch._C._nn.adaptive_avg_pool2d)
# hardtanh is the operator of ReLU6.
_RELU_OPERATORS = frozenset(f"aten::{name}" for name in ("relu", "_prelu_kernel", "elu", "leaky_relu", "hardtanh"))


class OutOfTimeError(Exception):
    """Raised out of a network's forward pass when the time for counting has passed."""


@dataclass(slots=True)
class Seen:
    """Calls, input and output shape, and multiply-accumulates of one module, without those of its children."""

    calls: int = 0
    given: Shape = ()
    made: Shape = ()
    macs: int = 0


@dataclass(slots=True)
class Observation:
    """Counts of one forward pass.

    Attributes
    ----------
    convolutions, products, others
        Multiply-accumulates by kind of operator, see :class:`harness.complexity.operators.Cost`.
    activations
        Elements in the outputs of convolutions and matrix products.
    challenge
        "FLOPs" as defined by the report of the NTIRE 2023 real-time challenge: MACs of 2-D convolutions without bias,
        transposed ones counted at output resolution, plus one per output element of a ReLU-like module. Only modules
        count, as in the challenge, unless the network has no convolution among its modules (scripted, exported).
    unseen
        Operators that can hold multiply-accumulates and are not counted.
    modules
        What was seen of each module, by name, in the order in which calls ended; the network itself is ``""``.
    outside
        Shapes of tensors that no operator made and that belong to no module.
    connected
        Whether the output was computed from the input by operators that were seen.
    seconds
        Duration of the forward pass.
    """

    convolutions: int = 0
    products: int = 0
    others: int = 0
    activations: int = 0
    challenge: int = 0
    unseen: set[str] = field(default_factory=set)
    modules: dict[str, Seen] = field(default_factory=dict)
    outside: list[Shape] = field(default_factory=list)
    connected: bool = True
    seconds: float = 0.0

    @property
    def macs(self) -> int:
        """All multiply-accumulates."""
        return self.convolutions + self.products + self.others

    def figures(self) -> tuple[int, int, int]:
        """Return MACs, activations and the challenge's count."""
        return self.macs, self.activations, self.challenge


class Origins:
    """Memory of tensors that were made by operators, or belong to the network, in several passes of one network."""

    def __init__(self, model: nn.Module) -> None:
        self.weights = HiddenWeights(model)
        # Tensors stay alive because the allocator may reuse the address of a freed one.
        self._alive: list[Tensor] = [*parameters_of(model), *model.buffers()]
        self._known = {storage_of(tensor) for tensor in self._alive}

    def __contains__(self, tensor: Tensor) -> bool:
        return storage_of(tensor) in self._known

    def add(self, tensor: Tensor) -> None:
        """Remember a tensor."""
        if tensor not in self:
            self._known.add(storage_of(tensor))
            self._alive.append(tensor)


def observe(model: nn.Module, image: Tensor, deadline: float = math.inf, origins: Origins | None = None) -> Observation:
    """Run a network once and count.

    Parameters
    ----------
    model
        Network in eval mode, on the device of `image`. Hooks are attached for the call.
    image
        Input, N x C x H x W. On the meta device nothing is computed.
    deadline
        Time of `time.monotonic` after which the pass is given up.
    origins
        If given, the data are followed from input to output, which keeps all intermediate results in memory.

    Raises
    ------
    OutOfTimeError
        If the deadline passes.
    Exception
        Whatever the network raises.
    """
    seen = Observation()
    begin = time.monotonic()
    with ExitStack() as stack:
        running = stack.enter_context(_hooked(model, seen))
        stack.enter_context(_slow_path_of_attention())
        stack.enter_context(_without_compiler())
        stack.enter_context(torch.no_grad())
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")  # a warning of the submitted code is not about counting
        stack.enter_context(_Pools(seen, running))
        counter = stack.enter_context(_Operators(seen, running, image, model, deadline=deadline, origins=origins))
        stack.enter_context(entered_by_threads(counter))
        output = model(image)
    seen.connected = counter.derives(output)
    seen.seconds = time.monotonic() - begin
    return seen


@contextmanager
def _slow_path_of_attention() -> Iterator[None]:
    """Execute `nn.MultiheadAttention` by operators whose cost is known, not by one fused kernel."""
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)


def _without_compiler() -> AbstractContextManager[object]:
    """Execute what the network compiles, as flex_attention does, without torch's compiler, which accepts no modes."""
    if "torch._dynamo" not in sys.modules:  # nothing has been compiled, and the import takes seconds
        return nullcontext()
    return cast("AbstractContextManager[object]", torch.compiler.set_stance("force_eager"))


@contextmanager
def _hooked(model: nn.Module, seen: Observation) -> Iterator[list[str]]:
    """Record calls and shapes of modules; yield the names of the modules that are running, innermost last."""
    # Operators outside of any hooked module belong to the network itself, whose name is empty.
    running = [""]
    handles = []

    def enter(name: str) -> Callable[..., None]:
        return lambda *_: running.append(name)

    def leave(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: tuple[object, ...], output: object) -> None:
            if len(running) > 1:
                running.pop()
            _record_call(seen, name, module, inputs, output)

        return hook

    try:
        for name, module in model.named_modules():
            if isinstance(module, torch.jit.ScriptModule):
                continue  # takes no hooks; its operators count for the module that calls it
            handles.append(module.register_forward_pre_hook(enter(name)))
            # Also called if the module raises, so that the names remain in step.
            handles.append(module.register_forward_hook(leave(name), always_call=True))
        yield running
    finally:
        for handle in handles:
            handle.remove()


def _record_call(seen: Observation, name: str, module: nn.Module, inputs: tuple[object, ...], output: object) -> None:
    one = seen.modules.pop(name, None) or Seen()
    seen.modules[name] = one  # moved to the end: modules are listed in the order in which their first calls end
    one.calls += 1
    given = inputs[0] if inputs else None
    if isinstance(given, Tensor) and isinstance(output, Tensor):
        one.given, one.made = tuple(given.shape), tuple(output.shape)
    if isinstance(module, _RELU_FAMILY) and isinstance(output, Tensor):
        seen.challenge += output.numel()


class _Pools(TorchFunctionMode):
    """Count adaptive average pooling, which fvcore counts as one per input element.

    Pooling to one pixel is dispatched as a mean, which counts nothing.
    """

    def __init__(self, seen: Observation, running: list[str]) -> None:
        super().__init__()
        self._seen = seen
        self._running = running

    def __torch_function__(
        self, function: Any, types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        given = args[0] if args else kwargs.get("input")
        # The mode is off within the Python function, so that one call is seen once.
        if any(function is one for one in _ADAPTIVE_POOLING) and isinstance(given, Tensor):
            self._seen.others += given.numel()
            self._seen.modules.setdefault(self._running[-1], Seen()).macs += given.numel()
        return function(*args, **kwargs)


class _Operators(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Add up the cost of every operator, and follow the data from the input to the output."""

    supports_higher_order_operators = True  # otherwise torch refuses flex_attention and cond within this mode

    def __init__(
        self,
        seen: Observation,
        running: list[str],
        image: Tensor,
        model: nn.Module,
        *,
        deadline: float,
        origins: Origins | None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._seen = seen
        self._running = running
        self._one_at_a_time = Lock()  # a network may have several threads
        self._deadline = deadline
        self._on_meta = image.device.type == "meta"
        self._origins = origins
        self._scripted = any(isinstance(module, torch.jit.ScriptModule) for module in model.modules())
        self._convolutions = {name for name, one in model.named_modules() if isinstance(one, _CONVOLUTIONS)}
        self._derived = {storage_of(image)}
        if origins is not None:
            origins.add(image)

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # otherwise torch imports its compiler, which takes seconds, to exclude this class from it

    def __torch_dispatch__(
        self, operator: Any, types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if time.monotonic() > self._deadline:
            raise OutOfTimeError
        kwargs = kwargs or {}
        if isinstance(operator, HigherOrderOperator):
            return self._by_parts(operator, args, kwargs)
        name = operator._schema.name
        # torch turns the mode off within this method. It is entered again below, so that the parts are seen.
        if not has_formula(name) and not _is_final(operator):
            with self:
                made = operator.decompose(*args, **kwargs)
            # Not counted here: its parts have been.
            if made is not NotImplemented:
                return made
        made = call_on_meta(operator, args, kwargs) if self._on_meta else operator(*args, **kwargs)
        with self._one_at_a_time:
            kind = self._count(name, args, kwargs, made)
            if self._origins is not None:
                self._follow(name, self._origins, [args, kwargs], made, multiplies=kind in ("convolution", "product"))
        return made

    def _by_parts(self, operator: HigherOrderOperator, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run an operator that calls functions by its implementation in Python, whose operators are counted."""
        kernel = operator.py_kernels.get(torch._C.DispatchKey.CompositeExplicitAutograd)
        if operator is torch.ops.higher_order.cond:
            # Only the branch that is taken is executed and counted.
            chosen, yes, no, operands = args
            kernel, args = (yes if chosen else no), operands
        try:
            with self:
                return cast("Callable[..., Any]", kernel)(*args, **kwargs)
        except (AssertionError, TypeError):  # some refuse modes, and others have no such implementation
            self._seen.unseen.add(str(operator))
            return operator(*args, **kwargs)

    def _count(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], made: Any) -> str:
        """Add the cost of an operator and return its kind; empty if it has none."""
        cost, seen = cost_of(name, args, kwargs, made), self._seen
        if self._scripted and name.removesuffix("_") in _RELU_OPERATORS and isinstance(made, Tensor):
            seen.challenge += made.numel()  # scripted modules take no hooks
        if cost is None:
            if can_hold_macs(name):
                seen.unseen.add(name)
            return ""
        if cost.kind == "convolution":
            seen.convolutions += cost.macs
            # Only modules count, unless the network has no convolution among its modules, see `Observation.challenge`.
            is_module = not self._convolutions or self._running[-1] in self._convolutions
            if is_module and isinstance(made, Tensor) and made.dim() == 4:
                # At output resolution for transposed convolutions, too, by the definition of the challenge.
                seen.challenge += made.shape[0] * made.shape[2] * made.shape[3] * args[1].numel()
        elif cost.kind == "product":
            seen.products += cost.macs
        else:
            seen.others += cost.macs
        seen.activations += cost.activations
        seen.modules.setdefault(self._running[-1], Seen()).macs += cost.macs
        return cost.kind

    def _follow(self, name: str, origins: Origins, arguments: list[Any], made: Any, *, multiplies: bool) -> None:
        """Remember which tensors derive from the input, and which come from outside of torch."""
        given, produced = list(_tensors(arguments)), list(_tensors(made))
        unknown = [tensor for tensor in given if tensor not in origins]
        self._seen.outside += [tuple(tensor.shape) for tensor in unknown]
        for tensor in unknown:
            origins.weights.enter(tensor)
        if name.endswith("_"):  # in place: the first argument holds the result
            produced += given[:1]
        constant = [tensor for tensor in given if storage_of(tensor) not in self._derived]
        if len(constant) < len(given):
            self._derived.update(map(storage_of, produced))
            if multiplies:
                origins.weights.use(constant)
        else:
            origins.weights.make(given, produced)
        for tensor in (*produced, *given):
            origins.add(tensor)

    def derives(self, output: object) -> bool:
        """Return whether a result was computed from the input by operators that were seen."""
        return self._origins is None or any(storage_of(tensor) in self._derived for tensor in _tensors(output))


def _tensors(value: Any) -> Iterator[Tensor]:
    return (leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor))


def _is_final(operator: Any) -> bool:
    """Return whether an operator is counted itself; composite ones are counted by their parts.

    Composite operators are dispatched in inference mode only, in which torch does not decompose them earlier.
    """
    return not torch._C._dispatch_has_kernel_for_dispatch_key(operator.name(), "CompositeImplicitAutograd")


def outside_work(observations: Sequence[Observation]) -> str:
    """Return why results were computed outside of torch, where no operator is seen; empty if none were.

    Parameters
    ----------
    observations
        At least three passes of one network at different sizes, with common :class:`Origins`.
    """
    if not all(one.connected for one in observations):
        return "the output is computed outside of torch"
    # The first pass meets tensors that the network keeps as plain attributes. Later, tensors that no operator made are
    # constants, which have the same shape at every size, or results of another library.
    if Counter(observations[1].outside) != Counter(observations[2].outside):
        return "intermediate results are computed outside of torch"
    return ""
