"""Count parameters, multiply-accumulates, activations, memory traffic and layers of a network."""
