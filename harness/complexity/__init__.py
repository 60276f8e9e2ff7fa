"""Count parameters, multiply-accumulates, activations, memory traffic and layers of a network.

Called, as ``harness.complexity(module, size)``, it is `harness.api.complexity_function.complexity`.
"""

from harness.callable_package import make_callable

make_callable(__name__)
