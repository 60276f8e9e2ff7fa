"""Packages that are functions of the public interface as well: ``harness.run(paths)``, ``harness.complexity(network)``.

The names of two packages are also the best names of two functions. A package that is called, and that is a package
wherever it is imported, serves both, whatever is imported first.
"""

from __future__ import annotations

import inspect
import sys
from importlib import import_module
from types import ModuleType
from typing import Any


class CallablePackage(ModuleType):
    """A package that forwards calls to the function of :mod:`harness` that has its name."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function."""
        return self._function()(*args, **kwargs)

    @property
    def __signature__(self) -> inspect.Signature:
        """The function's signature, which ``help`` and notebooks show."""
        return inspect.signature(self._function())

    def _function(self) -> Any:
        name = self.__name__.rpartition(".")[2]
        return getattr(import_module(f"harness.api.{name}_function"), name)


def make_callable(name: str) -> None:
    """Let the imported package called `name` be called, as :class:`CallablePackage` describes."""
    # Python permits the assignment for modules; it turns the package itself into a callable object.
    sys.modules[name].__class__ = CallablePackage
