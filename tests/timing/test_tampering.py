"""Whatever the harness calls with a frame or an output is bound before submitted code is imported, or checked."""

import builtins
import ctypes
import dis
import inspect
import random
import sys
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch._C._dynamo import eval_frame
from torch._dynamo.types import ConvertFrameReturn
from torch.overrides import TorchFunctionMode, _get_current_function_mode_stack
from torch.utils import _device
from torch.utils._device import DeviceContext
from torch.utils._python_dispatch import TorchDispatchMode

import harness
from harness.backends import runner
from harness.engines.inline import InlineExchange
from harness.errors import WorkerError
from harness.isolation.requests import LoadRequest, TimeRequest
from harness.isolation.session import Session
from harness.timing import frames as timing_frames
from harness.timing import strips
from harness.worker import clock, frames, inputs, materialise, measure, network, tampering, timed_calls
from harness.worker.network import MeasuredNetwork
from harness.worker.tampering import TamperDetector
from harness.worker.timed_calls import TimedCalls

MODULES = (clock, frames, inputs, materialise, measure, network, runner, strips, tampering, timed_calls, timing_frames)
SOURCES = str(Path(harness.__file__).parent)
# Where functions are looked up at the time of a call, so that submitted code can replace them there.
PLACES: tuple[Any, ...] = (torch.Tensor, torch, torch.nn.functional, torch._C._nn, np, builtins)
FRAME = np.random.default_rng(0).integers(0, 256, (37, 53, 3), dtype=np.uint8)


class Doubled(nn.Module):
    """A network of its own operators, which are none of the harness's calls."""

    running = False

    def forward(self, x: Tensor) -> Tensor:
        Doubled.running = True
        try:
            return torch.nn.functional.interpolate(x, scale_factor=2.0)
        finally:
            Doubled.running = False


def network_of(backend: str = "eager") -> MeasuredNetwork:
    """Return a network that can be called: it is brought into its backend before there are frames."""
    settings = LoadRequest.model_construct(
        backend=backend, device="cpu", precision="fp16", scale=2, strict=True, value_range=255.0, threads=1, seed=3
    )
    measured = MeasuredNetwork(settings, Doubled(), size_multiple=4)
    measured.runner()
    return measured


def session_of(network: nn.Module) -> Session:
    """Return a session in this process whose network is loaded."""
    measured, exchange = network_of(), InlineExchange()
    measured.replace_form(network)
    exchange._operations._loaded = measured
    return Session(exchange, measured.settings, timeout_s=60.0)


def call(timed: TimedCalls, measured: MeasuredNetwork, kind: str = "fresh") -> None:
    """Time a few calls with frames that need padding, and ask for an image."""
    calls = 2 if kind == "dataset" else 3
    request = {"warmup": 0, "repeats": calls, "min_repeats": calls, "budget_s": None, "inputs": kind}
    timed.time(measured, TimeRequest(**request), [FRAME, FRAME])
    timed.image(measured, lambda *_: None)


def all_calls(timed: TimedCalls) -> None:
    for measured in map(network_of, ("eager", "channels_last")):
        for kind in ("fresh", "reused", "dataset"):
            call(timed, measured, kind)


def refused(timed: TimedCalls, measured: MeasuredNetwork) -> bool:
    """Return whether the calls disqualify the network."""
    try:
        call(timed, measured)
    except WorkerError as error:
        return "it replaced" in str(error)
    return False


class Functions(TorchFunctionMode):
    """Records the functions, methods and attributes of torch."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_function__(self, function: Any, types: object, args: Any = (), kwargs: Any = None) -> Any:
        if not Doubled.running:
            is_attribute = function.__name__ == "__get__"
            self.names.add(function.__self__.__name__ if is_attribute else function.__name__)
        return function(*args, **(kwargs or {}))


class Operators(TorchDispatchMode):
    """Records the operators of torch."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, operator: Any, types: object, args: Any = (), kwargs: Any = None) -> Any:
        if not Doubled.running:
            self.names.add(operator.name())
        return operator(*args, **(kwargs or {}))


def built_in_calls(run: Callable[[], None]) -> set[str]:
    """Return the names of functions without Python code that the harness calls."""
    names = set()

    def note(frame: Any, event: str, argument: Any) -> None:
        if event == "c_call" and frame.f_code.co_filename.startswith(SOURCES):
            names.add(argument.__name__)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        run()
    finally:
        sys.setprofile(before)
    return names


def called_names() -> set[str]:
    with Functions() as functions:
        built_in = built_in_calls(lambda: all_calls(TimedCalls()))  # what was set up before it is no tampering
    return functions.names | built_in


def stand_in(original: Any, note: Callable[[], None]) -> Any:
    """Return what notes each use and does what the original does."""
    if inspect.isgetsetdescriptor(original):

        def read(tensor: Tensor) -> Any:
            note()
            return original.__get__(tensor)

        return property(read)

    def replacement(*arguments: Any, **options: Any) -> Any:
        note()
        return original(*arguments, **options)

    return replacement


def test_no_function_can_be_replaced_unnoticed(monkeypatch: pytest.MonkeyPatch) -> None:
    names = called_names()
    assert {"copy_", "__getitem__", "roll", "shape", "stack", "from_numpy", "next"} <= names  # it sees what it should
    unnoticed = set()
    for name in sorted(names):
        for place in PLACES:
            if not hasattr(place, name) or isinstance(getattr(place, name), ModuleType | type):
                continue
            timed, measured, used = TimedCalls(), network_of(), []
            with monkeypatch.context() as patched:
                patched.setattr(place, name, stand_in(getattr(place, name), partial(used.append, None)))
                if not refused(timed, measured) and used:
                    unnoticed.add(f"{place.__name__}.{name}")
    assert not unnoticed


def codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from codes(constant)


def built_in_names(module: ModuleType) -> set[str]:
    """Return the names that the code of a module looks up among Python's built-in functions, if at all."""
    source = compile(Path(str(module.__file__)).read_text(encoding="utf-8"), str(module.__file__), "exec")
    loads = (step for code in codes(source) for step in dis.get_instructions(code) if step.opname == "LOAD_GLOBAL")
    return {step.argval for step in loads if hasattr(builtins, step.argval) and step.argval not in vars(module)}


def test_no_built_in_function_can_be_replaced_unnoticed() -> None:
    names = set().union(*map(built_in_names, MODULES))
    assert {"map", "next", "zip", "isinstance"} <= names
    for name in sorted(names):
        watch, original = TamperDetector(), getattr(builtins, name)
        setattr(builtins, name, stand_in(original, lambda: None))
        try:
            replaced = watch.replaced()
        finally:
            setattr(builtins, name, original)
        assert replaced == [f"builtins.{name}"]


def test_code_may_replace_print_to_be_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    watch = TamperDetector()
    monkeypatch.setattr(builtins, "print", lambda *_, **__: None)
    assert watch.replaced() == []


@pytest.mark.filterwarnings("ignore:Warning only once for all operators:UserWarning")
def test_no_operator_can_be_replaced_unnoticed() -> None:
    with Operators() as operators:
        all_calls(TimedCalls())
    assert {"aten::copy_", "aten::roll", "aten::slice.Tensor"} <= operators.names
    for name in sorted(operators.names):
        watch = TamperDetector()
        library = torch.library.Library("aten", "IMPL")
        try:
            library.impl(name.removeprefix("aten::"), lambda *_: None, "CPU")
            assert name in watch.replaced()
        finally:
            library._destroy()
        assert watch.replaced() == []


def test_the_code_of_a_function_can_not_be_replaced_unnoticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def synchronize(device: object = None, /) -> None:
        """Do nothing."""

    watch = TamperDetector()
    monkeypatch.setattr(torch.accelerator.synchronize, "__code__", synchronize.__code__)
    monkeypatch.setattr(random.Random.choice, "__code__", random.Random.choice.__code__.replace(co_name="other"))
    assert watch.replaced() == ["random.choice", "torch.accelerator.synchronize"]


class Finalizer:
    """Notes which frames it could work on when Python calls it."""

    def __init__(self, network: "Finalized") -> None:
        self.network = network

    def __del__(self) -> None:
        found, within, level = [], set(), sys._getframe().f_back
        while level is not None:
            within.add(level.f_code.co_name)
            for name, value in level.f_locals.items() if level.f_code.co_filename.startswith(SOURCES) else ():
                # Later calls of a request get variations of its frame, which do not exist yet.
                is_sent = name == "arrays" and len(value) > 0 and not self.network.is_called
                if is_sent or (name in {"frame", "level", "levels", "scaled", "varied"} and isinstance(value, Tensor)):
                    found.append(f"{level.f_code.co_name}: {name}")
            level = level.f_back
        if not {"forward", "check"} & within:  # neither in the timed window nor after it, when a frame is known
            self.network.found += found


class Backed(np.ndarray):
    """Memory with a finalizer."""

    def __del__(self) -> None:
        if hasattr(self, "finalizer"):
            self.finalizer.__del__()


class Finalized(Doubled):
    """Attaches finalizers to its output, to the memory of it, and to its input."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.calls, self.is_called = 0, False

    def __deepcopy__(self, _memory: object) -> "Finalized":
        return self

    def forward(self, x: Tensor) -> Tensor:
        self.calls, self.is_called = self.calls + 1, True
        output = super().forward(x)
        kind = self.calls % 4
        tail = Finalizer(self)
        if kind == 0:
            output.tail = tail  # type: ignore[attr-defined]
        elif kind == 1:
            weakref.finalize(output, tail.__del__)
        elif kind == 2:
            output.untyped_storage().tail = tail  # type: ignore[attr-defined]
        else:
            backed = output.numpy().view(Backed)
            backed.finalizer = tail
            output = torch.from_numpy(backed)
        if not hasattr(x, "tail"):
            x.tail = x.untyped_storage().tail = Finalizer(self)  # type: ignore[attr-defined]
        return output


def test_no_finalizer_is_called_while_there_is_a_frame() -> None:
    network = Finalized()
    session = session_of(network)
    larger = np.tile(FRAME, (3, 3, 1))
    for frame in (FRAME, FRAME, larger, FRAME):
        for calls in (5, 1, 2):
            network.is_called = False
            session.time([frame], 0, calls, calls, None)
        session.last_image(frame)
    assert network.calls == 32
    assert not network.found


class HiddenMode(TorchFunctionMode):
    """Works on a frame, and goes away before the harness can look for it at the end of a request."""

    def __torch_function__(self, function: Any, types: object, args: Any = (), kwargs: Any = None) -> Any:
        if function.__name__ == "sum":  # of the last output of a request only
            self.__exit__(None, None, None)
        return function(*args, **(kwargs or {}))


def enters_a_mode() -> None:
    HiddenMode().__enter__()


def replaces_a_function() -> None:
    original = {name: getattr(torch.Tensor, name) for name in ("roll", "sum")}

    def restore(*arguments: Any, **options: Any) -> Any:
        for name, method in original.items():
            setattr(torch.Tensor, name, method)
        return original["sum"](*arguments, **options)

    torch.Tensor.roll = lambda *arguments, **options: original["roll"](*arguments, **options)  # type: ignore[assignment]
    torch.Tensor.sum = restore  # type: ignore[method-assign, assignment]


class SetsUp(Doubled):
    """Sets something up at the end of each call."""

    def __init__(self, set_up: Callable[[], None]) -> None:
        super().__init__()
        self.set_up = set_up

    def forward(self, x: Tensor) -> Tensor:
        output = super().forward(x)
        self.set_up()
        return output


@pytest.mark.parametrize(
    ("set_up", "reason"),
    [(enters_a_mode, "the mode HiddenMode"), (replaces_a_function, "it replaced torch.Tensor.roll, torch.Tensor.sum")],
)
def test_what_is_taken_away_before_a_request_ends_is_seen(set_up: Callable[[], None], reason: str) -> None:
    measured = network_of()
    measured.replace_form(SetsUp(set_up))
    methods = {name: getattr(torch.Tensor, name) for name in ("roll", "sum")}
    try:
        with pytest.raises(WorkerError, match=reason):
            call(TimedCalls(), measured)
    finally:
        for name, method in methods.items():
            setattr(torch.Tensor, name, method)
        while _get_current_function_mode_stack():  # type: ignore[no-untyped-call]
            torch._C._pop_torch_function_stack()


def test_a_profiler_of_native_code_sees_no_frame() -> None:
    """Python does not report it, and it could take itself away when the harness looks for it."""
    seen: set[str] = set()

    @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)
    def note(_object: int, frame: int, _what: int, _argument: int) -> int:
        seen.add(ctypes.cast(frame, ctypes.py_object).value.f_code.co_name)
        return 0

    measured = network_of()
    measured.replace_form(SetsUp(lambda: ctypes.pythonapi.PyEval_SetProfile(note, None)))
    before = sys.getprofile()
    try:
        call(TimedCalls(), measured)
    finally:
        sys.setprofile(before)
    assert "_release" in seen
    assert not {"_give", "place", "_varied", "scale_levels"} & seen


def test_the_hook_of_the_compiler_is_seen() -> None:
    def note(frame: Any, *_: object) -> object:
        if frame.f_code.co_name.startswith("_check"):
            eval_frame.set_eval_frame(None)
        return ConvertFrameReturn()

    measured = network_of()
    measured.replace_form(SetsUp(lambda: eval_frame.set_eval_frame(note)))
    try:
        with pytest.raises(WorkerError, match="a callback for the evaluation of frames"):
            call(TimedCalls(), measured)
    finally:
        eval_frame.set_eval_frame(None)


class Attributed(Doubled):
    """Gives its input and its output attributes with the names of all methods of tensors."""

    def __init__(self, used: list[str]) -> None:
        super().__init__()
        methods = [name for name in dir(torch.Tensor) if callable(getattr(torch.Tensor, name, None))]
        self.attributes = {name: self.spy(name, used) for name in methods}

    def spy(self, name: str, used: list[str]) -> Callable[..., Any]:
        def called(*arguments: Any, **options: Any) -> Any:
            used.append(name)
            return getattr(torch.empty(1, 3, 148, 212, dtype=torch.float16), name)(*arguments, **options)

        return called

    def forward(self, x: Tensor) -> Tensor:
        x.__dict__.clear()
        output = super().forward(x)
        for tensor in (x, output):
            vars(tensor).update(self.attributes)
        return output


def test_no_attribute_of_a_tensor_takes_the_place_of_a_method() -> None:
    used: list[str] = []
    for backend in ("eager", "channels_last"):
        measured = network_of(backend)
        measured.replace_form(Attributed(used))
        call(TimedCalls(), measured)
    TimedCalls()._hold(Attributed(used)(torch.rand(1, 3, 74, 106, dtype=torch.float16)))
    assert not used


def test_a_class_that_says_to_be_equal_to_that_of_tensors_is_another_one() -> None:
    class Equal(type(torch.Tensor)):  # type: ignore[misc]
        def __eq__(cls, other: object) -> bool:
            return True

        __hash__ = type.__hash__

    class Lazy(torch.Tensor, metaclass=Equal):
        pass

    class Network(Doubled):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).as_subclass(Lazy)

    measured = network_of()
    measured.replace_form(Network())
    with pytest.raises(WorkerError, match="is a Lazy"):
        call(TimedCalls(), measured)


class Spy(DeviceContext):
    """Looks like torch's default device."""


@pytest.fixture
def device_mode() -> Iterator[Callable[[DeviceContext], None]]:
    entered: list[DeviceContext] = []

    def enter(mode: DeviceContext) -> None:
        mode.__enter__()
        entered.append(mode)

    yield enter
    for mode in reversed(entered):
        mode.__exit__(None, None, None)


def test_only_the_mode_of_torch_itself_may_set_the_default_device(
    device_mode: Callable[[DeviceContext], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = TamperDetector()
    device_mode(DeviceContext("cpu"))
    assert watch.watching() == []
    for place, name in ((DeviceContext, "__torch_function__"), (_device, "_device_constructors")):
        with monkeypatch.context() as patched:
            patched.setattr(place, name, stand_in(getattr(place, name), lambda: None))
            assert [name in one for one in watch.replaced()] == [True]


def test_a_mode_that_is_made_from_that_of_the_default_device_watches(
    device_mode: Callable[[DeviceContext], None],
) -> None:
    watch = TamperDetector()
    device_mode(Spy("cpu"))
    assert watch.watching() == ["the mode Spy"]


def test_a_method_of_one_mode_watches(device_mode: Callable[[DeviceContext], None]) -> None:
    watch = TamperDetector()
    mode = DeviceContext("cpu")
    mode.__torch_function__ = lambda function, types, args=(), kwargs=None: function(*args, **(kwargs or {}))  # type: ignore[method-assign]
    device_mode(mode)
    assert watch.watching() == ["the mode DeviceContext"]
