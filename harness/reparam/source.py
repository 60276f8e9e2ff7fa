"""Readable source of a traced network: a plain ``torch.nn`` module that needs nothing but torch."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional

from harness.errors import UnsupportedError
from harness.reparam.trace import is_compute

INFIX = {
    operator.add: "+", operator.sub: "-", operator.mul: "*", operator.truediv: "/", operator.floordiv: "//",
    operator.mod: "%", operator.pow: "**", operator.matmul: "@",
}  # fmt: skip
IN_PLACE = {operator.iadd: "+=", operator.isub: "-=", operator.imul: "*=", operator.itruediv: "/="}
NAMESPACES = {"torch": torch, "functional": functional, "operator": operator}

HEADER = '''"""{title}: the inference form, written by sr-harness from the training form.

Plain torch.nn; the weights belong to it and are read by whoever calls srmodel().
"""

import operator

import torch
from torch import Tensor, nn
from torch.nn import functional


class Network(nn.Module):
    """{title}: input and output are N x 3 x H x W."""

    def __init__(self) -> None:
        super().__init__()
{layers}

    def forward(self, {image}: Tensor) -> Tensor:
{steps}


def srmodel() -> nn.Module:
    """Return the network without weights."""
    return Network()
'''


def source(graph: fx.GraphModule, names: Mapping[str, str], title: str) -> str:
    """Write the module.

    Parameters
    ----------
    graph
        The traced network.
    names
        New attribute names of the modules and tensors that the graph refers to, by path.
    title
        For the docstrings, one line.

    Raises
    ------
    UnsupportedError
        Where the network calls what is not torch's.
    """
    layers = "\n".join(f"        {line}" for line in _layers(graph, names))
    forward = _Forward(graph, names)
    steps = "\n".join(f"        {line}" for line in forward.lines())
    text = HEADER.format(title=title, layers=layers or "        pass", image=forward.image, steps=steps)
    for module in ("operator", "torch", "functional"):
        if f"{module}." not in text.split("class Network")[1]:
            text = text.replace(_IMPORTS[module], "", 1)
    return text


_IMPORTS = {
    "operator": "import operator\n\n",
    "torch": "import torch\n",
    "functional": "from torch.nn import functional\n",
}


def _layers(graph: fx.GraphModule, names: Mapping[str, str]) -> Iterator[str]:
    written = set()
    for node in graph.graph.nodes:
        path = str(node.target)
        if node.op not in ("call_module", "get_attr") or path in written:
            continue
        written.add(path)
        if node.op == "call_module":
            yield f"self.{names[path]} = {constructor(graph.get_submodule(path))}"
        else:
            yield _tensor(names[path], operator.attrgetter(path)(graph))


def _tensor(name: str, tensor: torch.Tensor) -> str:
    empty = f"torch.zeros({tuple(tensor.shape)}, dtype={tensor.dtype})"
    if isinstance(tensor, nn.Parameter):
        return f"self.{name} = nn.Parameter({empty})"
    return f'self.register_buffer("{name}", {empty})'


def constructor(module: nn.Module) -> str:
    """Write the call that builds a layer of torch.

    Raises
    ------
    UnsupportedError
        Where the layer is not torch's, or its printed form does not build it.
    """
    text = _convolution(module) if type(module) is nn.Conv2d else f"nn.{module!r}"
    try:
        rebuilt = eval(text, {"nn": nn})  # noqa: S307  # text made of torch's own layers, checked below
    except Exception as error:
        raise _foreign(type(module).__name__) from error
    shapes = {name: tensor.shape for name, tensor in module.state_dict().items()}
    same = {name: tensor.shape for name, tensor in rebuilt.state_dict().items()} == shapes
    if type(rebuilt) is not type(module) or repr(rebuilt) != repr(module) or not same:
        raise _foreign(type(module).__name__)
    return text


def _foreign(name: str) -> UnsupportedError:
    return UnsupportedError(
        f"{name} is not a layer or function of torch that can be written as source",
        hint="replace it in the network by plain torch.nn, or keep the submission as it is",
    )


def _convolution(conv: nn.Conv2d) -> str:
    parts = [str(conv.in_channels), str(conv.out_channels), _short(conv.kernel_size)]
    defaults = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}
    for key, default in defaults.items():
        value = getattr(conv, key)
        if _short(value) != str(default):
            parts.append(f"{key}={_short(value)}")
    if conv.bias is None:
        parts.append("bias=False")
    if conv.padding_mode != "zeros":
        parts.append(f"padding_mode={conv.padding_mode!r}")
    return f"nn.Conv2d({', '.join(parts)})"


def _short(value: Any) -> str:
    if isinstance(value, tuple) and len(set(value)) == 1:
        value = value[0]
    return repr(value)


class _Forward:
    """The body of ``forward``; a name is used again once its value is no longer needed, so that memory is."""

    def __init__(self, graph: fx.GraphModule, names: Mapping[str, str]) -> None:
        self._nodes = list(graph.graph.nodes)
        self._paths = names
        self._names: dict[fx.Node, str] = {}
        self._last = {used: node for node in self._nodes for used in node.all_input_nodes}
        self._order = {node: index for index, node in enumerate(self._nodes)}
        self._used: list[str] = []
        self.image = "x"

    def lines(self) -> Iterator[str]:
        """Give the statements in order."""
        for node in self._nodes:
            if node.op == "placeholder":
                self._take_input(node)
            elif node.op == "get_attr":
                self._names[node] = f"self.{self._paths[str(node.target)]}"
            elif node.op == "output":
                yield f"return {self._text(node.args[0])}"
            elif is_compute(node):
                yield self._statement(node)

    def _take_input(self, node: fx.Node) -> None:
        """Name the image; a further argument has its default value wherever it is read."""
        if not self._used:
            self._used.append(self.image)
            self._names[node] = self.image
        else:
            self._names[node] = repr(node.args[0]) if node.args else "()"

    def _statement(self, node: fx.Node) -> str:
        if node.target in IN_PLACE:
            target = self._text(node.args[0])
            self._names[node] = target
            return f"{target} {IN_PLACE[node.target]} {self._text(node.args[1])}"
        value = self._call(node)
        self._names[node] = self._name(node)
        return f"{self._names[node]} = {value}"

    def _name(self, node: fx.Node) -> str:
        """Take the name of a value that nothing reads any more, that of an input first; else a new one."""
        alive = {name for value, name in self._names.items() if self._is_alive(value, node)}
        inputs = [self._names[used] for used in node.all_input_nodes]
        for name in (*inputs, *self._used):
            if name not in alive and name in self._used:
                return name
        self._used.append(f"x{len(self._used)}")
        return self._used[-1]

    def _is_alive(self, value: fx.Node, at: fx.Node) -> bool:
        last = self._last.get(value)
        return last is not None and self._order[last] > self._order[at]

    def _call(self, node: fx.Node) -> str:
        if node.op == "call_module":
            return f"self.{self._paths[str(node.target)]}({self._arguments(node.args, node.kwargs)})"
        if node.op == "call_method":
            return f"{self._text(node.args[0])}.{node.target}({self._arguments(node.args[1:], node.kwargs)})"
        return self._function(node)

    def _function(self, node: fx.Node) -> str:
        first, *rest = [*node.args, None]
        if node.target in INFIX:
            return f"{self._text(first)} {INFIX[node.target]} {self._text(rest[0])}"
        if node.target is getattr:
            return f"{self._text(first)}.{rest[0]}"
        if node.target is operator.getitem:
            return f"{self._text(first)}[{self._index(rest[0])}]"
        return f"{qualified(node.target)}({self._arguments(node.args, node.kwargs)})"

    def _index(self, index: Any) -> str:
        parts = index if isinstance(index, tuple) else (index,)
        return ", ".join(self._slice(part) if isinstance(part, slice) else self._text(part) for part in parts)

    def _slice(self, part: slice) -> str:
        ends = ["" if end is None else self._text(end) for end in (part.start, part.stop)]
        return ":".join(ends if part.step is None else [*ends, self._text(part.step)])

    def _arguments(self, args: Any, kwargs: Mapping[str, Any]) -> str:
        return ", ".join([*map(self._text, args), *(f"{key}={self._text(value)}" for key, value in kwargs.items())])

    def _text(self, value: Any) -> str:
        if isinstance(value, fx.Node):
            return self._names[value]
        if isinstance(value, tuple):
            return f"({', '.join(map(self._text, value))}{',' if len(value) == 1 else ''})"
        if isinstance(value, list):
            return f"[{', '.join(map(self._text, value))}]"
        return repr(value)


def qualified(function: Any) -> str:
    """Write the public name of a function of torch.

    Raises
    ------
    UnsupportedError
        Where it has none.
    """
    name = getattr(function, "__name__", str(function))
    for namespace, module in NAMESPACES.items():
        if getattr(module, name, None) is function:
            return f"{namespace}.{name}"
    raise _foreign(name)
