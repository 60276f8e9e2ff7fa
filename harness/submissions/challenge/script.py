"""Read ``test_demo.py``, with which the repositories of the efficient super-resolution challenges test a team.

The script chooses a network by number in a chain ``if model_id == 0: ... elif model_id == 1: ...``, which stands in a
function ``select_model(args, device)``, in some years in ``main``. Each branch imports a class, names a checkpoint and
states the value range. All of it is read from the source; nothing is executed.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.errors import SubmissionError
from harness.plain_files import read_inside
from harness.submissions.challenge.expressions import Scope
from harness.submissions.challenge.statements import Reader
from harness.submissions.challenge.values import Checkpoint, Known, Load, Made, Step

SCRIPT = "test_demo.py"
_FUNCTION = "select_model"
_MAX_BYTES = 2_000_000
NUMBERS = frozenset({"model_id", "model_idx", "team_id", "method_id"})
"""Names of the variable that the chain compares with the number of each team."""
_DEFAULT_NAMES = ("model", "name", "data_range", "tile")
"""Names of the variables of the network, its name, its value range and its tile, where no ``return`` gives them."""

Function = ast.FunctionDef | ast.Module


@dataclass(frozen=True)
class Branch:
    """What a branch of the chain says.

    Attributes
    ----------
    number
        Number of the team.
    name
        Name of the network, such as ``07_NanoSR``; empty if it could not be read.
    value_range
        Value of white; None if it could not be read.
    tile
        Side of the tiles in which the script upscales an image; None for whole images.
    network
        How the network is made; None if it could not be read.
    steps
        What is done to it then, in order: loading of weights, calls of its methods.
    checkpoints
        All checkpoints that the branch reads, relative to the repository.
    imported
        Modules that the branch imports.
    warmups
        Calls of the network that only warm it up.
    unclear
        Statements that could not be read although they may concern the network.
    """

    number: int
    name: str
    value_range: float | None
    tile: int | None
    network: Made | None
    steps: tuple[Step, ...]
    checkpoints: tuple[str, ...]
    imported: tuple[str, ...]
    warmups: tuple[str, ...] = ()
    unclear: tuple[str, ...] = ()

    @property
    def is_clear(self) -> bool:
        """Whether the network can be built from what was read."""
        return self.network is not None and self.network.is_clear and not self.unclear


@dataclass(frozen=True)
class Chain:
    """The chain of a script.

    Attributes
    ----------
    tree
        The script.
    function
        The function in which it stands; the script itself if it stands in none.
    branches
        The statements of each number whose branch does something, in the order of the numbers.
    scale
        Upscaling factor of the challenge; None if the script does not say it.
    file
        The file in which it stands, relative to the repository.
    """

    tree: ast.Module
    function: Function
    branches: dict[int, list[ast.stmt]]
    scale: int | None
    file: str = SCRIPT

    def read(self, number: int) -> Branch:
        """Return what the branch of a number says."""
        reader = Reader(Scope(number, NUMBERS))
        for statement in self.tree.body:
            if isinstance(statement, ast.Import | ast.ImportFrom | ast.Assign):
                reader.read([statement])
        # What the script as a whole imports and does is not of this branch.
        reader.imported.clear()
        reader.unclear.clear()
        reader.read(self._statements())
        return _described(number, reader)

    def _statements(self) -> list[ast.stmt]:
        """Return the statements that choose and prepare a network: of a function that does more, up to the chain."""
        body = self.function.body
        if any(isinstance(one, ast.Return) and one.value is not None for one in body):
            return body
        last = max(index for index, one in enumerate(body) if any(_tests(one)))
        return body[: last + 1]


def find_chain(root: Path) -> Chain | None:
    """Return the chain of the script in a repository; None if it has no such script.

    The script may import ``select_model`` from another file of the repository, in which the chain then stands.

    Raises
    ------
    SubmissionError
        The script cannot be read or is no Python.
    """
    try:
        return _find_chain(root)
    except RecursionError as error:  # Python parses deeper expressions than its own `ast` module walks
        what = "is no Python that can be read: an expression is nested too deeply"
        raise SubmissionError(what, where=f"{root / SCRIPT}", hint="split the expression") from error


def _find_chain(root: Path) -> Chain | None:
    tree = _parsed(root, SCRIPT)
    if tree is None:
        return None
    for file in (SCRIPT, *_sources_of_function(tree)):
        other = tree if file == SCRIPT else _parsed(root, file)
        found = None if other is None else _chain_in(other, file)
        if found is not None:
            # With the chain in another file, the script itself may state the scale.
            return found if found.scale is not None else replace(found, scale=_scale(tree))
    return None


def _parsed(root: Path, file: str) -> ast.Module | None:
    """Return the tree of a file; None if there is none, or if it is no Python and has nothing to do with a chain."""
    path = root / file
    if not path.is_file():
        return None
    source = read_inside(path, root, _MAX_BYTES)
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        if b"model_id" not in source:
            return None
        place = f"{path}:{getattr(error, 'lineno', None) or 1}"
        raise SubmissionError(f"is no Python that can be read: {error}", where=place, hint="fix the file") from error


def _sources_of_function(tree: ast.Module) -> list[str]:
    """Return the files from which a script imports ``select_model``."""
    imports = [one for one in tree.body if isinstance(one, ast.ImportFrom) and one.level == 0 and one.module]
    return [
        f"{str(one.module).replace('.', '/')}.py"
        for one in imports
        if any(name.name == _FUNCTION for name in one.names)
    ]


def _chain_in(tree: ast.Module, file: str) -> Chain | None:
    functions = [one for one in tree.body if isinstance(one, ast.FunctionDef)]
    # Other functions may compare the number too, so the function of the challenge's template is looked at first.
    functions.sort(key=lambda one: {_FUNCTION: 0, "main": 1}.get(one.name, 2))
    places: list[Function] = [*functions, tree]
    for function in places:
        branches = _branches(function)
        if branches:
            return Chain(tree, function, dict(sorted(branches.items())), _scale(tree), file)
    return None


def _branches(function: Function) -> dict[int, list[ast.stmt]]:
    """Return the statements by number, without branches that do nothing."""
    found: dict[int, list[ast.stmt]] = {}
    for statement in function.body:
        for number, body in _tests(statement):
            # The first branch of a number is the one that Python executes.
            found.setdefault(number, body)
    return {number: body for number, body in found.items() if _does_something(body)}


def _tests(statement: ast.stmt) -> Iterator[tuple[int, list[ast.stmt]]]:
    """Yield number and statements of each ``if model_id == number`` of a chain."""
    while isinstance(statement, ast.If):
        number = _number_of(statement.test)
        if number is not None:
            yield number, statement.body
        # An ``elif`` is an ``if`` that stands alone in the ``else`` of the one before.
        if len(statement.orelse) != 1:
            return
        (statement,) = statement.orelse


def _number_of(test: ast.expr) -> int | None:
    if not isinstance(test, ast.Compare) or len(test.ops) != 1 or not isinstance(test.ops[0], ast.Eq):
        return None
    compared = ast.unparse(test.left).rpartition(".")[2]
    try:
        number = ast.literal_eval(test.comparators[0])
    except (ValueError, TypeError, SyntaxError):
        return None
    is_number = isinstance(number, int) and not isinstance(number, bool) and abs(number) < 10**9
    return number if compared in NUMBERS and is_number else None


def _does_something(body: Sequence[ast.stmt]) -> bool:
    """Return whether a branch is more than ``pass``, a comment or an error."""
    idle = (ast.Pass, ast.Raise)
    return any(
        not isinstance(one, idle) and not (isinstance(one, ast.Expr) and not isinstance(one.value, ast.Call))
        and not ast.unparse(one).startswith("print(")
        for one in body
    )  # fmt: skip


def _scale(tree: ast.Module) -> int | None:
    """Return the scale: ``sf = 4`` in a function of the script, or the default of a parameter ``scale``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            names = {one.id for one in node.targets if isinstance(one, ast.Name)}
            if names & {"sf", "scale", "upscale"} and _is_scale(node.value.value):
                return int(str(node.value.value))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            names_with_default = [one.arg for one in node.args.args][len(node.args.args) - len(node.args.defaults) :]
            for name, default in zip(names_with_default, node.args.defaults, strict=True):
                if name in ("scale", "sf") and isinstance(default, ast.Constant) and _is_scale(default.value):
                    return int(str(default.value))
    return None


def _is_scale(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 16


def _described(number: int, reader: Reader) -> Branch:
    names = reader.scope.names
    values = [names.get(name) for name in _DEFAULT_NAMES]
    # What the function returns has precedence over the usual names of variables.
    if reader.returned is not None and len(reader.returned) >= 3:
        values = [value for _, value in reader.returned[:4]] + [None] * (4 - len(reader.returned[:4]))
    network = values[0] if isinstance(values[0], Made) else None
    steps = tuple(step for of, step in reader.steps if of == network)
    checkpoints = [step.checkpoint.path for step in steps if isinstance(step, Load)]
    named = [value.path for value in names.values() if isinstance(value, Checkpoint)]
    paths = [str(names[name].value) for name in ("model_path", "ckpt_path") if isinstance(names.get(name), Known)]  # type: ignore[union-attr]
    return Branch(
        number,
        _text(values[1]) or _text(names.get("model_name")),
        _number(values[2]),
        _tile(values[3]),
        network,
        steps,
        tuple(dict.fromkeys(_relative(path) for path in (checkpoints or [*named, *paths]))),
        tuple(dict.fromkeys(reader.imported)),
        tuple(reader.warmups),
        tuple(dict.fromkeys(reader.unclear)),
    )


def _relative(path: str) -> str:
    return path.removeprefix("./")


def _text(value: object) -> str:
    return value.value.strip() if isinstance(value, Known) and isinstance(value.value, str) else ""


def _number(value: object) -> float | None:
    if isinstance(value, Known) and isinstance(value.value, int | float) and not isinstance(value.value, bool):
        return float(value.value)
    return None


def _tile(value: object) -> int | None:
    found = _number(value)
    return None if found is None or found < 1 else int(found)
