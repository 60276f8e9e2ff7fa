"""Decide the arguments of a factory: what the manifest says, what its parameters' names mean, what is unknown."""

from __future__ import annotations

import ast
import difflib
import inspect
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.errors import SubmissionError
from harness.submissions.argument_names import CHANNEL_NAMES, CONFIG_NAMES, SCALE_NAMES, kind_of

_STARRED = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_CHANNELS = 3

Slot = tuple[str, ...]
"""Name of an argument, or names of a settings object and of a field in it."""


class Settings(dict[str, Any]):
    """A table of the manifest as an object of settings: its fields are attributes and keys alike."""

    def __getattr__(self, name: str) -> Any:
        """Return the field `name`."""
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"the settings have no field {name}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        """Set the field `name`."""
        self[name] = value


@dataclass(frozen=True, slots=True)
class Call:
    """How a factory is called.

    Attributes
    ----------
    arguments
        By slot.
    unknown
        Slots that have no value yet.
    guessed
        Slots whose value neither the manifest nor the scale gave.
    """

    arguments: Mapping[Slot, Any]
    unknown: tuple[Slot, ...] = ()
    guessed: tuple[Slot, ...] = ()

    def with_values(self, values: Mapping[Slot, Any]) -> Call:
        """Return the call with further values, or with other ones."""
        left = tuple(slot for slot in self.unknown if slot not in values)
        return Call({**self.arguments, **values}, left, (*self.guessed, *values))

    def bound(self, factory: Callable[..., Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return positional and keyword arguments."""
        keywords: dict[str, Any] = {}
        for slot, value in self.arguments.items():
            if len(slot) == 1:
                keywords[slot[0]] = value
            else:
                keywords[slot[0]] = Settings({**keywords.get(slot[0], {}), slot[1]: value})
        kinds = {one.name: one.kind for one in parameters_of(factory)}
        # Such parameters cannot be passed by name, even though a manifest names them.
        positional = [name for name in kinds if kinds[name] is inspect.Parameter.POSITIONAL_ONLY and name in keywords]
        return tuple(keywords.pop(name) for name in positional), keywords


def parameters_of(factory: Callable[..., Any]) -> list[inspect.Parameter]:
    """Return the parameters of a factory; none for a builtin without a signature."""
    try:
        return list(inspect.signature(factory).parameters.values())
    except (ValueError, TypeError):
        return []


def call_for(
    factory: Callable[..., Any], name: str, scale: int, kwargs: Mapping[str, Any] | None = None, white: float = 1.0
) -> Call:
    """Return how to call ``factory``, derived from the manifest and from its signature.

    The scale is passed to a parameter whose name is in :data:`SCALE_NAMES`, or as a key of that name which the factory
    looks up in its ``**kwargs``, else to the only required parameter that has no other meaning. Required numbers of
    channels of an image are 3. The fields of a settings object are those that the factory's source reads.

    Parameters
    ----------
    factory
        Function or class.
    name
        ``module:callable``, for messages.
    scale
        Upscaling factor.
    kwargs
        Arguments that the manifest gives; the text ``"scale"`` stands for the scale.
    white
        Value of white, for a field ``rgb_range``.

    Raises
    ------
    SubmissionError
        The manifest gives an argument that the factory does not take.
    """
    parameters = parameters_of(factory)
    given = {key: _resolved(value, scale) for key, value in (kwargs or {}).items()}
    _check_names(given, parameters, name)
    values: dict[Slot, Any] = {(key,): value for key, value in given.items()}
    required = [p.name for p in parameters if p.default is p.empty and p.kind not in _STARRED and p.name not in given]
    names = [one.name for one in parameters if one.kind not in _STARRED] + _looked_up(factory)
    free = [one for one in names if one not in given]
    scale_name = None if _gives_scale(kwargs or {}) else _scale_parameter(free, required)
    if scale_name is not None:
        values[scale_name,] = scale
    guessed: list[Slot] = []
    unknown: list[Slot] = []
    for parameter in (one for one in required if one != scale_name):
        for slot, known in _meanings(factory, parameter, scale, white):
            if known is None:
                unknown.append(slot)
            else:
                values[slot] = known
                guessed.append(slot)
    return Call(values, tuple(unknown), tuple(guessed))


def needs_arguments(factory: Callable[..., Any], name: str, call: Call) -> SubmissionError:
    """Return the error for a call that has unknown arguments: it shows the signature and the line to write."""
    missing = ", ".join(".".join(slot) for slot in call.unknown)
    signature = ", ".join(str(one) for one in parameters_of(factory))
    return SubmissionError(
        f"{name} needs the arguments {missing}; its signature is ({signature[:400]})",
        hint=f"put their values into the manifest: {kwargs_line(call)}",
    )


def hint_of_keywords(factory: Callable[..., Any], call: Call) -> str | None:
    """Return the line to write if a factory looks up more in its ``**kwargs`` than the call gives, else None."""
    more = tuple((key,) for key in dict.fromkeys(_looked_up(factory)) if (key,) not in call.arguments)
    if not more:
        return None
    return f"it looks up other arguments too: {kwargs_line(Call(call.arguments, more))}"


def kwargs_line(call: Call) -> str:
    """Return the line of a manifest that gives all arguments of a call, with ``?`` for those that are not known."""
    tables: dict[str, Any] = {}
    for slot in (*call.arguments, *call.unknown):
        value = call.arguments.get(slot, "?")
        shown = "?" if slot in call.unknown else toml(_by_name(value) if slot[-1] in SCALE_NAMES else value)
        if len(slot) == 1:
            tables[slot[0]] = shown
        else:
            tables.setdefault(slot[0], {})[slot[1]] = shown
    inner = ", ".join(f"{key} = {value if isinstance(value, str) else _table(value)}" for key, value in tables.items())
    return f"kwargs = {{ {inner} }}"


def _by_name(scale: Any) -> Any:
    return ["scale"] if isinstance(scale, list) else "scale"


def _table(fields: Mapping[str, str]) -> str:
    return "{ " + ", ".join(f"{key} = {value}" for key, value in fields.items()) + " }" if fields else "{}"


def toml(value: Any) -> str:
    """Return a value of an argument as TOML."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return _table({key: toml(one) for key, one in value.items()})
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(toml, value)) + "]"
    return f'"{value}"' if isinstance(value, str) else str(value)


def _resolved(value: Any, scale: int) -> Any:
    if isinstance(value, dict):
        return Settings({key: _resolved(one, scale) for key, one in value.items()})
    if isinstance(value, list):
        return [_resolved(one, scale) for one in value]
    return scale if value == "scale" else value


def _gives_scale(kwargs: Mapping[str, Any]) -> bool:
    waiting: list[Any] = list(kwargs.values())
    # The list grows during the iteration: nested tables and lists are looked at too.
    for value in waiting:
        waiting += value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    # The manifest places the scale itself, so it is not guessed where else it could go.
    return "scale" in waiting


def _check_names(given: Mapping[str, Any], parameters: Sequence[inspect.Parameter], name: str) -> None:
    names = [one.name for one in parameters if one.kind not in _STARRED]
    # A factory with ``**kwargs`` may know names that its signature does not show.
    if any(one.kind is one.VAR_KEYWORD for one in parameters):
        return
    for key in given:
        if key not in names:
            near = difflib.get_close_matches(key, names, n=1)
            hint = f"did you mean {near[0]}?" if near else f"its arguments are {', '.join(names) or 'none'}"
            raise SubmissionError(f"{name} takes no argument {key}, which kwargs gives", hint=hint)


def _scale_parameter(names: Sequence[str], required: Sequence[str]) -> str | None:
    named = next((alias for alias in SCALE_NAMES if alias in names), None)
    only = required[0] if named is None and len(required) == 1 else None
    if only is not None and only not in (*CHANNEL_NAMES, *CONFIG_NAMES) and kind_of(only) is None:
        return only  # srmodel(s): it can mean nothing else
    return named


def _looked_up(factory: Callable[..., Any]) -> list[str]:
    """Return the keys that a factory looks up in its ``**kwargs``; of a class, its own constructor is read."""
    starred = next((one.name for one in parameters_of(factory) if one.kind is one.VAR_KEYWORD), None)
    if starred is None:
        return []
    tree = _tree(inspect.getattr_static(factory, "__init__") if isinstance(factory, type) else factory)
    return [] if tree is None else [key for node in ast.walk(tree) if (key := _key(node, starred)) is not None]


def _key(node: ast.AST, mapping: str) -> str | None:
    """Return the key if a node is ``mapping["key"]``, ``mapping.get("key")`` or ``mapping.pop("key")``, else None."""
    if isinstance(node, ast.Subscript):
        owner, key = node.value, node.slice
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("get", "pop"):
        owner, key = node.func.value, next(iter(node.args), node.func)
    else:
        return None
    if not isinstance(owner, ast.Name) or owner.id != mapping or not isinstance(key, ast.Constant):
        return None
    return key.value if isinstance(key.value, str) else None


def _meanings(factory: Callable[..., Any], name: str, scale: int, white: float) -> Iterator[tuple[Slot, Any]]:
    """Yield the slots of a required parameter with their values, None where it is not known."""
    fields = _fields_read(factory, name) if name in CONFIG_NAMES else []
    for field, listed in fields:
        value = _value_of(field, scale, white)
        yield (name, field), [value] if listed and value is not None else value
    if not fields:
        is_idle = name in CONFIG_NAMES and _is_never_read(factory, name)
        yield (name,), Settings() if is_idle else _value_of(name, scale, white)


def _value_of(name: str, scale: int, white: float) -> Any:
    if name in SCALE_NAMES:
        return scale
    if name == "rgb_range":
        return white
    return _CHANNELS if name in CHANNEL_NAMES else None


def _fields_read(factory: Callable[..., Any], name: str) -> list[tuple[str, bool]]:
    """Return the fields that a factory reads of its parameter `name`, and whether it takes an element of them."""
    tree = _tree(factory)
    if tree is not None and _is_passed_on(tree, name):  # to classes that read it: those of the module are looked at
        tree = _tree(inspect.getmodule(factory)) or tree
    if tree is None:
        return []
    listed = {
        field
        for node in ast.walk(tree)
        if isinstance(node, ast.Subscript) and (field := _field(node.value, name)) is not None
    }
    fields = {field: None for node in ast.walk(tree) if (field := _field(node, name)) is not None}
    return [(field, field in listed) for field in fields]


def _is_never_read(factory: Callable[..., Any], name: str) -> bool:
    """Return whether a factory takes a parameter and does nothing with it."""
    tree = _tree(factory)
    return tree is not None and not any(isinstance(node, ast.Name) and node.id == name for node in ast.walk(tree))


def _tree(thing: Any) -> ast.AST | None:
    try:
        return ast.parse(textwrap.dedent(inspect.getsource(thing)))
    except (OSError, TypeError, SyntaxError, ValueError, RecursionError):
        return None


def _is_passed_on(tree: ast.AST, name: str) -> bool:
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    given = (value for call in calls for value in (*call.args, *(keyword.value for keyword in call.keywords)))
    return any(isinstance(value, ast.Name) and value.id == name for value in given)


def _field(node: ast.AST, name: str) -> str | None:
    """Return the field if a node is ``name.field`` or ``name["field"]``, else None."""
    owner = node.value if isinstance(node, ast.Attribute | ast.Subscript) else None
    if not isinstance(owner, ast.Name) or owner.id != name:
        return None
    if isinstance(node, ast.Attribute):
        return None if node.attr in ("get", "keys", "items", "values") else node.attr
    inner = node.slice if isinstance(node, ast.Subscript) else None
    return inner.value if isinstance(inner, ast.Constant) and isinstance(inner.value, str) else None
