"""Raises an exception without a name and without a message."""


def srmodel():
    raise type("", (Exception,), {"__str__": lambda self: ""})
