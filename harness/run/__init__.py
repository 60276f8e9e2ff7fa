"""The controller's steps of a run. Called, as ``harness.run(paths)``, it is `harness.api.run_function.run`."""

from harness.callable_package import make_callable

make_callable(__name__)
