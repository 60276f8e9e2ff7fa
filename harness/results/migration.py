"""Upgrade stored files of earlier schema versions when they are read."""

from __future__ import annotations

from typing import Any

from harness.results.schema import SCHEMA_VERSION

READABLE_VERSIONS = (1, 2)
"""Schema versions that this release can read."""
_RENAMED = {"lane": "backend", "to_come": "remaining_work"}
"""Keys of version 1 and their names in version 2."""
_DROPPED = frozenset({"load_info"})


def upgrade(raw: Any) -> Any:
    """Convert the content of a file of schema version 1 or 2 to version 2.

    Parameters
    ----------
    raw
        Parsed JSON of a whole run or of one measurement. It is not modified.

    Returns
    -------
    object
        A copy with the keys of version 2.
    """
    if isinstance(raw, list):
        return [upgrade(item) for item in raw]
    if not isinstance(raw, dict):
        return raw
    upgraded = {_RENAMED.get(key, key): upgrade(value) for key, value in raw.items() if key not in _DROPPED}
    if upgraded.get("schema_version") == 1:
        upgraded["schema_version"] = SCHEMA_VERSION
    return upgraded
