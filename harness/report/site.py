"""Templates and scripts that all pages of a report share."""

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from harness.files import write_atomically
from harness.report.caveats import why_unsettled
from harness.report.columns import score_text
from harness.report.numbers import binary_size, fixed


def page(template: str, scripts: tuple[str, ...], **values: Any) -> str:
    """Render a page; its content security policy permits the named scripts and no others."""
    # The hash in the content security policy is that of exactly this text.
    # Part of the page itself, so that it works as a single file.
    source = script(scripts)
    return environment().get_template(template).render(script=source, script_hash=script_hash(source), **values) + "\n"


def write_page(path: Path, content: str | bytes) -> None:
    """Write a file of a report atomically, without fsync: there are hundreds, and all can be rebuilt.

    Raises
    ------
    ResultsError
        The folder cannot be written.
    """
    write_atomically(path, content.encode("utf-8") if isinstance(content, str) else content, sync=False)


@cache
def environment() -> Environment:
    """Return the template environment, with escaping of all values."""
    loader = PackageLoader("harness.report")
    # With StrictUndefined, a misspelled name in a template raises an exception.
    made = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    made.filters |= {
        "fixed": fixed, "binary_size": binary_size, "score": score_text, "why_unsettled": why_unsettled,
    }  # fmt: skip
    return made


@cache
def script(names: tuple[str, ...]) -> Markup:
    """Return scripts of this package, concatenated, for a ``<script>`` element."""
    loader = PackageLoader("harness.report")
    return Markup("\n".join(loader.get_source(environment(), name)[0] for name in names))  # noqa: S704  (our own files)


def script_hash(source: str) -> str:
    """Return a script's hash in the form of a content security policy."""
    # CSP Level 2: `'sha256-'` and the base64 of the digest of the element's text.
    digest = hashlib.sha256(source.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"
