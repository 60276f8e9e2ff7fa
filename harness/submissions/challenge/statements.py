"""Follow one branch of a challenge's script from statement to statement, without executing it."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.submissions.challenge.expressions import NEUTRAL_METHODS, Scope, evaluate
from harness.submissions.challenge.values import (
    CallMethod,
    CallOnModules,
    Checkpoint,
    ImportedModule,
    Known,
    Load,
    Made,
    Step,
    Symbol,
    Unclear,
    Value,
)

# Conditions are followed both ways, so that a script could take exponential time without a limit.
_MOST_STATEMENTS = 20_000
_REACHING_OUT = frozenset({"sys", "os", "subprocess", "exec", "eval", "setattr", "__import__"})
"""Names of functions whose effects on the machine or the interpreter cannot be told from the source."""


@dataclass
class Reader:
    """Reads statements and keeps what they do to networks.

    Attributes
    ----------
    scope
        The names of the script.
    steps
        What is done to a network after it was made, with that network, in order.
    warmups
        Source of the calls of a network, which only warm it up.
    unclear
        Source of the statements whose effect on a network is not known, with their line numbers.
    returned
        Values that a ``return`` gives, with the names of the variables.
    imported
        Modules that the branch imports.
    """

    scope: Scope
    steps: list[tuple[Made, Step]] = field(default_factory=list)
    warmups: list[str] = field(default_factory=list)
    unclear: list[str] = field(default_factory=list)
    returned: list[tuple[str, Value]] | None = None
    imported: list[str] = field(default_factory=list)
    budget: int = _MOST_STATEMENTS

    def read(self, body: Sequence[ast.stmt]) -> None:
        """Follow statements until one of them returns."""
        for statement in body:
            self.budget -= 1
            if self.returned is not None or self.budget < 0:
                return
            self._read_one(statement)

    def _read_one(self, node: ast.stmt) -> None:
        match node:
            case ast.Import(names=names):
                for name in names:
                    self._import(name.name, name.asname)
            case ast.ImportFrom(module=module, names=names, level=0) if module:
                self._import_from(module, names)
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    self._assign(target, value, node)
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                self._assign(target, value, node)
            case ast.Expr(value=ast.Call() as call):
                self._call(call, node)
            case ast.Return(value=value) if value is not None:
                self._return(value)
            case _:
                self._read_block(node)

    def _read_block(self, node: ast.stmt) -> None:
        match node:
            case ast.If():
                self._branch(node)
            case ast.For():
                self._loop(node)
            case ast.With(body=body):
                self.read(body)
            case ast.Try():
                self._attempt(node)
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                self.scope.names[name] = Unclear(name)
            case ast.Pass() | ast.Expr() | ast.Global() | ast.Raise() | ast.Assert() | ast.Break() | ast.Continue():
                pass
            case _:
                self._other(node)

    def _import(self, name: str, alias: str | None) -> None:
        self.imported.append(name)
        first = name.partition(".")[0]
        self.scope.names[alias or first] = ImportedModule(name if alias else first)

    def _import_from(self, module: str, names: list[ast.alias]) -> None:
        self.imported.append(module)
        for name in names:
            if name.name == "*":
                self.scope.stars.append(module)
            else:
                self.scope.names[name.asname or name.name] = Symbol(module, name.name)

    def _assign(self, target: ast.expr, value: ast.expr, node: ast.stmt) -> None:
        if isinstance(target, ast.Name):
            self.scope.names[target.id] = self._result(value, node)
        elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
            for one, its_value in zip(target.elts, value.elts, strict=True):
                self._assign(one, its_value, node)
        elif isinstance(target, ast.Tuple):
            for one in target.elts:
                # The parts of an unpacked value are not known; no variable has an empty name.
                self._assign(one, ast.Name(id="", ctx=ast.Load()), node)
        else:
            self._assign_part(target, value, node)

    def _result(self, value: ast.expr, node: ast.stmt) -> Value:
        """Return the value of an assignment; the call of a network's method takes the network's place."""
        called = value.func if isinstance(value, ast.Call) else None
        if isinstance(called, ast.Attribute):
            base = evaluate(called.value, self.scope)
            if isinstance(base, Made) and called.attr not in NEUTRAL_METHODS:
                return self._method_result(base, called.attr, value, node)
        found = evaluate(value, self.scope)
        if isinstance(found, Unclear) and self.scope.touches_network(value):
            if isinstance(called, ast.Name) and isinstance(self.scope.get(called.id), Made):
                self.warmups.append(ast.unparse(value)[:80])
            else:
                self._note(node)
        return found

    def _method_result(self, network: Made, method: str, call: ast.expr, node: ast.stmt) -> Value:
        """Return what ``x = network.method(...)`` gives: reading changes nothing, a conversion replaces the network."""
        if method in ("state_dict", "parameters", "named_parameters", "modules", "named_modules"):
            return Unclear(ast.unparse(call))
        self._apply(network, method, call, node, replaces=True)
        return network

    def _assign_part(self, target: ast.expr, value: ast.expr, node: ast.stmt) -> None:
        """Follow ``x[key] = value`` and ``x.attribute = value``."""
        root: ast.expr = target
        while isinstance(root, ast.Subscript | ast.Attribute | ast.Starred):
            root = root.value
        if not isinstance(root, ast.Name) or self.scope.touches_network(target):
            self._other(node)
            return
        if isinstance(self.scope.get(root.id), ImportedModule):  # a setting of torch, or os.environ
            return
        self.scope.names[root.id] = self.scope.checkpoint_in(value) or Unclear(ast.unparse(node))

    def _call(self, call: ast.Call, node: ast.stmt) -> None:
        function = call.func
        if isinstance(function, ast.Attribute):
            base = evaluate(function.value, self.scope)
            if isinstance(base, Made):
                self._apply(base, function.attr, call, node, replaces=False)
                return
        if isinstance(function, ast.Name) and isinstance(self.scope.get(function.id), Made):
            self.warmups.append(ast.unparse(call)[:80])
            return
        first = function
        while isinstance(first, ast.Attribute | ast.Call):
            first = first.value if isinstance(first, ast.Attribute) else first.func
        name = first.id if isinstance(first, ast.Name) else ""
        if name in ("print", "logging", "logger"):
            return
        if self.scope.touches_network(call) or name in _REACHING_OUT:
            self._note(node)

    def _apply(self, network: Made, method: str, call: ast.expr, node: ast.stmt, *, replaces: bool) -> None:
        """Keep a call of a network's method."""
        if method in NEUTRAL_METHODS or not isinstance(call, ast.Call):
            return
        arguments = tuple(evaluate(one, self.scope) for one in call.args)
        keywords = tuple((one.arg or "", evaluate(one.value, self.scope)) for one in call.keywords)
        if method == "load_state_dict":
            self._load(network, (*arguments, *(value for name, value in keywords if name == "state_dict")), call, node)
        elif any(isinstance(one, Unclear | Checkpoint) for one in (*arguments, *(value for _, value in keywords))):
            self._note(node)
        else:
            self.steps.append((network, CallMethod(method, arguments, keywords, replaces)))

    def _load(self, network: Made, given: tuple[Value, ...], call: ast.Call, node: ast.stmt) -> None:
        named = {one.arg: evaluate(one.value, self.scope) for one in call.keywords}
        strict = given[1] if len(given) > 1 else named.get("strict", Known(value=True))
        if given and isinstance(given[0], Checkpoint) and isinstance(strict, Known):
            self.steps.append((network, Load(given[0], bool(strict.value))))
        else:
            self._note(node)

    def _return(self, value: ast.expr) -> None:
        items = value.elts if isinstance(value, ast.Tuple) else [value]
        names = [one.id if isinstance(one, ast.Name) else "" for one in items]
        self.returned = [(name, self._result(one, ast.Expr(one))) for name, one in zip(names, items, strict=True)]

    def _loop(self, node: ast.For) -> None:
        over = ast.unparse(node.iter)
        if isinstance(node.iter, ast.Call) and isinstance(node.iter.func, ast.Attribute):
            base = evaluate(node.iter.func.value, self.scope)
            if isinstance(base, Made):
                self._loop_over_network(base, node.iter.func.attr, node)
                return
        # A loop that calls the network warms it up or times it.
        if _calls_network(node, self.scope):
            self.warmups.append(f"{ast.unparse(node.body[-1])[:80]} in {over[:40]}")
            return
        source = self.scope.checkpoint_in(node)
        if self.scope.touches_network(node):
            self._note(node)
        for name in _assigned(node):
            self.scope.names[name] = source or Unclear(name)

    def _loop_over_network(self, network: Made, method: str, node: ast.For) -> None:
        """Follow ``for module in network.modules(): ...``; loops over parameters only switch gradients off."""
        if method in ("parameters", "named_parameters") and "requires_grad" in ast.unparse(node):
            return
        called = {
            one.func.attr
            for one in ast.walk(ast.Module(node.body, []))
            if isinstance(one, ast.Call) and isinstance(one.func, ast.Attribute) and not one.args and not one.keywords
        }
        if method in ("modules", "named_modules", "children") and len(called) == 1:
            self.steps.append((network, CallOnModules(called.pop())))
        else:
            self._note(node)

    def _branch(self, node: ast.If) -> None:
        test = evaluate(node.test, self.scope)
        # A loop: each `elif` is nested in the one before, too deeply for a recursion.
        while isinstance(test, Known) and not test.value and [type(one) for one in node.orelse] == [ast.If]:
            (node,) = node.orelse  # type: ignore[assignment]
            test = evaluate(node.test, self.scope)
        if isinstance(test, Known):
            self.read(node.body if test.value else node.orelse)
            return
        # The harness chooses the device itself, so that the branch without CUDA is read.
        if ast.unparse(node.test) == "torch.cuda.is_available()" and not self.scope.touches_network(node):
            self.read(node.orelse)
            return
        self._both(node.body, node.orelse)

    def _both(self, one: Sequence[ast.stmt], other: Sequence[ast.stmt]) -> None:
        """Follow both ways of a condition that is decided when the script runs, and keep what they agree on."""
        first, second = _copy(self), _copy(self)
        first.read(one)
        second.read(other)
        # Both ways were read with the same budget; nested conditions would otherwise double the work at each level.
        self.budget = min(first.budget, second.budget)
        for name in first.scope.names.keys() | second.scope.names.keys():
            self.scope.names[name] = _merged(first.scope.names.get(name), second.scope.names.get(name))
        ways = [way.steps[len(self.steps) :] for way in (first, second)]
        self.unclear += [text for way in (first, second) for text in way.unclear[len(self.unclear) :]]
        self.warmups += [text for way in (first, second) for text in way.warmups[len(self.warmups) :]]
        self.imported = list(dict.fromkeys([*first.imported, *second.imported]))
        if (agreed := _agreed(ways[0], ways[1])) is None:
            self.unclear.append("what is done to the network depends on a condition")
        self.steps += agreed or []

    def _attempt(self, node: ast.Try) -> None:
        self.read([*node.body, *node.orelse, *node.finalbody])
        # The body is assumed to succeed. Handlers are noted only if they do more than import or assign something else.
        quiet = (ast.Pass, ast.Raise, ast.Import, ast.ImportFrom, ast.Assign)
        for handler in node.handlers:
            for one in handler.body:
                if not isinstance(one, quiet) and not ast.unparse(one).startswith("print("):
                    self._note(one)

    def _other(self, node: ast.stmt) -> None:
        if self.scope.touches_network(node) or _reaches_out(node):
            self._note(node)
        for name in _assigned(node):
            self.scope.names[name] = Unclear(name)

    def _note(self, node: ast.stmt) -> None:
        line = ast.unparse(node).partition("\n")[0][:100]
        self.unclear.append(f"line {getattr(node, 'lineno', '?')}: {line}")


def _assigned(node: ast.AST) -> list[str]:
    """Return the names of the variables to which a statement, or one inside of it, assigns something."""
    found = []
    for one in ast.walk(node):
        if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store):
            found.append(one.id)
        elif isinstance(one, ast.Subscript) and isinstance(one.ctx, ast.Store) and isinstance(one.value, ast.Name):
            found.append(one.value.id)
    return found


def _merged(one: Value | None, other: Value | None) -> Value:
    """Return what is known of a variable that has one of two values."""
    if one == other and one is not None:
        return one
    checkpoints = [value for value in (one, other) if isinstance(value, Checkpoint)]
    # The file is the same; under which key the weights stand is found out when the network is built.
    if checkpoints and len({value.path for value in checkpoints}) == 1:
        return Checkpoint(checkpoints[0].path, None)
    return Unclear("depends on a condition")


def _copy(reader: Reader) -> Reader:
    """Return a reader that goes on from where another one is."""
    before = reader.scope
    scope = Scope(before.number, before.number_names, dict(before.names), list(before.stars))
    lists = (list(reader.steps), list(reader.warmups), list(reader.unclear))
    return Reader(scope, *lists, None, list(reader.imported), reader.budget)


Steps = list[tuple[Made, Step]]


def _agreed(one: Steps, other: Steps) -> Steps | None:
    """Return what two ways do to a network in common; None where they differ in more than the key of a checkpoint."""
    if one == other:
        return one
    both = [*one, *other]
    loads = [step for _, step in both if isinstance(step, Load)]
    if len(loads) != len(both) or max(len(one), len(other)) > 1 or len({load.checkpoint.path for load in loads}) > 1:
        return None
    checkpoint = Checkpoint(loads[0].checkpoint.path, None)
    return [(both[0][0], Load(checkpoint, all(load.strict for load in loads)))]


def _calls_network(node: ast.AST, scope: Scope) -> bool:
    calls = (one.func for one in ast.walk(node) if isinstance(one, ast.Call))
    return any(isinstance(called, ast.Name) and isinstance(scope.get(called.id), Made) for called in calls)


def _reaches_out(node: ast.AST) -> bool:
    return any(isinstance(one, ast.Name) and one.id in _REACHING_OUT - {"os"} for one in ast.walk(node))
