"""Train the zoo's networks on a CPU: data, recipe, queue and evaluation; not part of the installed package."""
