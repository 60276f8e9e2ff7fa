"""Sizes of files, classes and functions stay below bounds that a reader can hold in mind."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted(path for folder in ("harness", "benchmarks", "training") for path in (ROOT / folder).rglob("*.py"))
MOST_LINES, MOST_FUNCTION_LINES, MOST_PARAMETERS, MOST_METHODS, MOST_ATTRIBUTES = 400, 60, 7, 20, 12
RECORD_BASES = {"BaseModel", "NamedTuple", "TypedDict"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def bases_of_classes() -> dict[str, set[str]]:
    classes = (node for path in FILES for node in ast.walk(parsed(path)) if isinstance(node, ast.ClassDef))
    return {node.name: {ast.unparse(base).rpartition(".")[2] for base in node.bases} for node in classes}


BASES = bases_of_classes()


def is_record(node: ast.ClassDef) -> bool:
    """Tell whether a class only holds data: a pydantic model, a named tuple or a frozen dataclass."""
    to_see, seen = {ast.unparse(base).rpartition(".")[2] for base in node.bases}, set()
    while to_see:
        seen |= to_see
        to_see = {base for name in to_see for base in BASES.get(name, set())} - seen
    frozen = any("dataclass" in (text := ast.unparse(one)) and "frozen=True" in text for one in node.decorator_list)
    return frozen or bool(seen & RECORD_BASES)


def parameters(node: Function) -> list[str]:
    given = node.args
    named = [one.arg for one in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    rest = [one.arg for one in (given.vararg, given.kwarg) if one is not None]
    return [name for name in named + rest if name not in ("self", "cls")]


def is_command(node: Function) -> bool:
    """Tell whether typer reads the parameters, which are then the options of a command."""
    return any("command" in ast.unparse(one) for one in node.decorator_list) or "typer." in ast.unparse(node.args)


def attributes(node: ast.ClassDef) -> set[str]:
    declared = {
        one.target.id for one in node.body if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name)
    }
    assigned = {
        one.attr
        for one in ast.walk(node)
        if isinstance(one, ast.Attribute) and isinstance(one.ctx, ast.Store) and ast.unparse(one.value) == "self"
    }
    return declared | assigned


def function_excesses(node: Function) -> Iterator[str]:
    lines = (node.end_lineno or node.lineno) - node.lineno + 1
    if lines > MOST_FUNCTION_LINES:
        yield f"line {node.lineno}: {node.name} has {lines} lines"
    if len(parameters(node)) > MOST_PARAMETERS and not is_command(node):
        yield f"line {node.lineno}: {node.name} has {len(parameters(node))} parameters"


def class_excesses(node: ast.ClassDef) -> Iterator[str]:
    methods = [one for one in node.body if isinstance(one, Function)]
    if len(methods) > MOST_METHODS:
        yield f"line {node.lineno}: {node.name} has {len(methods)} methods"
    if len(attributes(node)) > MOST_ATTRIBUTES and not is_record(node):
        yield f"line {node.lineno}: {node.name} has {len(attributes(node))} attributes"


def excesses(path: Path) -> Iterator[str]:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    if lines > MOST_LINES:
        yield f"{lines} lines"
    for node in ast.walk(parsed(path)):
        if isinstance(node, Function):
            yield from function_excesses(node)
        elif isinstance(node, ast.ClassDef):
            yield from class_excesses(node)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_nothing_is_too_large(path: Path) -> None:
    assert not list(excesses(path))


def test_the_measures_see_what_is_too_large(tmp_path: Path) -> None:
    many = ", ".join(f"p{number}" for number in range(MOST_PARAMETERS + 1))
    methods = "".join(f"    def m{number}(self):\n        self.a{number} = 1\n" for number in range(MOST_METHODS + 1))
    long = "def long():\n" + "    pass\n" * MOST_FUNCTION_LINES
    (tmp_path / "large.py").write_text(
        f"def wide({many}):\n    pass\nclass Large:\n{methods}{long}" + "\n" * MOST_LINES
    )
    found = list(excesses(tmp_path / "large.py"))
    assert len(found) == 5
    fields = "".join(f"    a{number}: int\n" for number in range(MOST_ATTRIBUTES + 1))
    record = f"@dataclass(frozen=True)\nclass Frozen:\n{fields}class Model(BaseModel):\n{fields}"
    (tmp_path / "records.py").write_text(f"{record}@command\ndef command({many}):\n    pass\n")
    assert not list(excesses(tmp_path / "records.py"))
