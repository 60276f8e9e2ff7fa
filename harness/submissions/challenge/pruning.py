"""The part of a challenge's script that its function ``select_model`` needs.

The rest imports packages that only the measurement of the challenge uses.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence

from harness.submissions.challenge.script import Chain


def needed_statements(chain: Chain) -> list[ast.stmt]:
    """Return the statements of the script that define what the function of the chain uses, and the function itself."""
    # Repeated until nothing is added, since a kept statement may use names that any other one defines.
    used, kept = _used(chain.function), set[int]()
    candidates = [one for one in chain.tree.body if one is not chain.function and _defined(one)]
    changed = True
    while changed:
        changed = False
        for one in candidates:
            if id(one) not in kept and _defined(one) & used:
                kept.add(id(one))
                used |= _used(one)
                changed = True
    return [one for one in chain.tree.body if id(one) in kept or one is chain.function]


def modules_imported(statements: Sequence[ast.stmt]) -> list[str]:
    """Return the modules that import statements of a module name."""
    found: list[str] = []
    for node in statements:
        if isinstance(node, ast.Import):
            found += [one.name for one in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found += [node.module, *(f"{node.module}.{one.name}" for one in node.names)]
    return list(dict.fromkeys(found))


def _used(node: ast.AST) -> set[str]:
    return {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}


def _defined(node: ast.stmt) -> set[str]:
    """Return the names that a statement of a module defines."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {(one.asname or one.name).partition(".")[0] for one in node.names}
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.Assign):
        return {one.id for target in node.targets for one in ast.walk(target) if isinstance(one, ast.Name)}
    return set()
