"""The manifest of a submission, ``submission.toml`` or ``harness.toml``. Every error states how to fix it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from harness.backends import BACKENDS
from harness.errors import ManifestError, SubmissionError
from harness.plain_files import read_inside
from harness.results.record import Backend, Colour
from harness.results.schema import About, Published
from harness.submissions import mistakes
from harness.submissions.requirements import MAX_REQUIREMENTS, problem_of
from harness.text import printable, single_line

FILE_NAME = "submission.toml"
SHARED_FILE_NAME = "harness.toml"
FILE_NAMES = (FILE_NAME, SHARED_FILE_NAME)
"""Names of a manifest. The second one is for repositories that the harness did not come with: ``harness init``."""
SETTINGS = "run"
"""Table of a manifest's file that holds options of ``harness run``, see :mod:`harness.cli.settings_file`."""
_RUN = re.compile(r"^\s*\[\s*run\s*\]", re.MULTILINE)
_MAX_BYTES = 1_000_000

_FACTORY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)
# ASCII only, since \d matches the digits of all scripts.
_SCALE_KEY = re.compile(r"x([1-9]\d?)", re.ASCII)

Scale = Annotated[int, Field(ge=1, le=16, strict=True)]
Text = Annotated[str, Field(max_length=4000)]
_MAX_ARGUMENT_DEPTH = 6
_MAX_ARGUMENTS = 500


class Manifest(BaseModel):
    """The manifest of a submission. Unknown keys are errors.

    The keys of the table ``[submission]`` are attributes of this class; the tables ``[weights]`` and ``[published]``
    are the attributes of the same names.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    name: Annotated[str, Field(min_length=1, max_length=200)]
    """Name on the leaderboard."""
    team: Annotated[str, Field(max_length=200)] = ""
    """Name of the team."""
    scales: Annotated[list[Scale], Field(min_length=1)]
    """Upscaling factors that the network supports."""
    factory: Annotated[str, Field(max_length=500)] = "arch:srmodel"
    """``module:callable`` in the submission's folder; called as ``f()`` or ``f(scale)``."""
    alternatives: Annotated[list[Annotated[str, Field(max_length=500)]], Field(max_length=10)] = []
    """Further factories, tried in this order if the checkpoint does not fit the network of ``factory``."""
    kwargs: dict[str, Any] = {}
    """Arguments of the factory; the text ``"scale"`` stands for the scale."""
    folder: Annotated[str, Field(max_length=1000)] = ""
    """Folder inside the submission's from which modules are imported and in which the code runs."""
    output: Annotated[int, Field(ge=0, le=100, strict=True)] | Annotated[str, Field(max_length=200)] | None = None
    """Index or key of the image, if the network returns a tuple, a list or a dictionary."""
    colour: Colour | None = None
    """Colour space of input and output: ``rgb`` (the default), ``bgr``, ``ycbcr`` or ``y``."""
    value_range: float = 1.0
    """Value of white in the input and the output of the network: 1.0 or 255.0."""
    description: Text = ""
    """One or two sentences for readers of the leaderboard."""
    authors: Annotated[list[Annotated[str, Field(min_length=1, max_length=200)]], Field(max_length=100)] = []
    """Names of the authors, for the page of the model."""
    paper: Text = ""
    """Title or URL of the paper."""
    code: Text = ""
    """URL of the published code."""
    bibtex: Text = ""
    """BibTeX entry with which the paper is cited."""
    license: Text = ""
    """Licence of code and weights, preferably an SPDX identifier."""
    reparameterize: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.]*$", max_length=200)] | None = None
    """Name of the author's method that converts the training form to the inference form; ``none`` for no conversion."""
    size_multiple: Annotated[int, Field(ge=1, le=512, strict=True)] = 1
    """Height and width of the input must be multiples of this; the harness pads and crops."""
    backends: Annotated[list[Backend], Field(min_length=1)] | None = None
    """Backends (``--backend``) that the network supports; all by default."""
    reconstructed: Annotated[bool, Field(strict=True)] = False
    """Whether the architecture was derived from published counts instead of published code."""
    reconstructed_note: Text = ""
    """How the architecture was derived."""
    needs_weights: Annotated[bool, Field(strict=True)] = False
    """Whether the network is untrained at scales that ``[weights]`` does not list."""
    requires: Annotated[list[Annotated[str, Field(max_length=500)]], Field(max_length=MAX_REQUIREMENTS)] = []
    """Packages that the code imports, as requirement strings such as ``einops>=0.7``."""
    weights: dict[str, Annotated[str, Field(max_length=1000)]] | None = None
    """Checkpoint of each scale, relative to the folder: ``x2 = "weights/x2.safetensors"``."""
    weights_key: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """Key of the checkpoint under which the weights are stored, such as ``params``, if it holds several that fit."""
    published: dict[str, Published] = {}
    """Figures published by the authors, by scale, shown next to the measured ones."""

    @field_validator("name")
    @classmethod
    def _printable(cls, name: str) -> str:
        if not name.strip() or any(ord(character) < 32 for character in name):
            raise ValueError("must be one line of visible text")
        return name.strip()

    @field_validator("scales")
    @classmethod
    def _distinct(cls, scales: list[int]) -> list[int]:
        if len(set(scales)) != len(scales):
            raise ValueError("lists a scale twice")
        return sorted(scales)

    @field_validator("factory")
    @classmethod
    def _module_and_callable(cls, factory: str) -> str:
        if not _FACTORY.fullmatch(factory):
            raise ValueError("must be module:callable, such as arch:srmodel")
        return factory

    @field_validator("kwargs")
    @classmethod
    def _plain_arguments(cls, kwargs: dict[str, Any]) -> dict[str, Any]:
        for name, value in kwargs.items():
            if not name.isidentifier():
                raise ValueError(f"{single_line(name, 60)!r} cannot be the name of an argument")
            if problem := _argument_problem(value):
                raise ValueError(f"{name} {problem}")
        return kwargs

    @field_validator("folder")
    @classmethod
    def _folder_inside(cls, folder: str) -> str:
        if folder and not is_inside(folder):
            raise ValueError(f"{single_line(folder, 60)!r} must be a path inside the manifest's folder, with /")
        return folder

    @field_validator("alternatives")
    @classmethod
    def _modules_and_callables(cls, alternatives: list[str]) -> list[str]:
        for factory in alternatives:
            cls._module_and_callable(factory)
        return alternatives

    @field_validator("value_range")
    @classmethod
    def _known_range(cls, value: float) -> float:
        if value not in (1.0, 255.0):
            raise ValueError("must be 1.0 or 255.0")
        return value

    @field_validator("requires")
    @classmethod
    def _requirement_strings(cls, requires: list[str]) -> list[str]:
        for text in requires:
            if problem := problem_of(text):
                raise ValueError(f"{text!r} is not a requirement such as einops>=0.7 ({problem})")
        return requires

    @field_validator("backends")
    @classmethod
    def _known_backends(cls, backends: list[str] | None) -> list[str] | None:
        for name in backends or []:
            if name not in BACKENDS.names():
                raise ValueError(f"no backend is called {name!r}; {BACKENDS.advice(name)}")
        return backends

    @field_validator("weights")
    @classmethod
    def _inside(cls, weights: dict[str, str] | None) -> dict[str, str] | None:
        for key, path in (weights or {}).items():
            if not is_inside(path):
                raise ValueError(f"[weights] {key}: {path!r} must be a path inside the submission's folder, with /")
        return weights

    @model_validator(mode="after")
    def _keys_are_scales(self) -> Manifest:
        for table in ("weights", "published"):
            for key in getattr(self, table) or {}:
                match = _SCALE_KEY.fullmatch(key)
                if not match:
                    raise ValueError(f"[{table}] {key}: keys are scales, such as x2")
                if int(match[1]) not in self.scales:
                    raise ValueError(f"[{table}] {key}: scales = {self.scales} does not list {match[1]}")
        return self

    def about(self) -> About | None:
        """Return what the submission says of itself, as text that every reader can show; None if it says nothing."""
        about = About(
            description=printable(self.description, 4000),
            authors=[single_line(name, 200) for name in self.authors],
            paper=single_line(self.paper, 1000),
            code=single_line(self.code, 1000),
            license=single_line(self.license, 200),
            bibtex=printable(self.bibtex, 4000),
        )
        return None if about == About() else about

    def weights_for(self, scale: int) -> Path | None:
        """Return the checkpoint of ``scale``, relative to the submission's folder, or None."""
        path = (self.weights or {}).get(f"x{scale}")
        return None if path is None else Path(path)

    def lacks_weights(self, scale: int) -> bool:
        """Return whether the network would be measured with random weights at ``scale``.

        This is the case if the manifest lists weights for other scales only, has an empty ``[weights]`` table, or sets
        ``needs_weights``. Otherwise the factory is assumed to load its own weights.
        """
        return (self.weights is not None or self.needs_weights) and self.weights_for(scale) is None


def _argument_problem(value: Any) -> str | None:
    """Return why a value cannot be an argument of a factory; None if it can."""
    waiting = [(value, 0)]
    for seen, (one, depth) in enumerate(waiting, start=1):
        inner = list(one.values()) if isinstance(one, dict) else one if isinstance(one, list) else []
        if depth > _MAX_ARGUMENT_DEPTH or seen + len(inner) > _MAX_ARGUMENTS:
            return "is too large or too deep for an argument"
        if not isinstance(one, str | int | float | bool | dict | list):
            return f"holds a {type(one).__name__}: arguments are text, numbers, true, false, lists and tables"
        waiting += [(element, depth + 1) for element in inner]
    return None


def manifest_file(folder: Path) -> Path | None:
    """Return the manifest of a folder, None if it has none. Settings of ``harness run`` alone are no manifest."""
    found = next((folder / name for name in FILE_NAMES if (folder / name).is_file()), None)
    return None if found is None or _holds_settings_only(found) else found


def _holds_settings_only(path: Path) -> bool:
    """Return whether a file has the table ``[run]`` and no other."""
    if path.name == FILE_NAME:
        return False
    try:
        text = _read_text(path)
        mistakes.check_parts(text, path)
        return _RUN.search(text) is not None and set(tomllib.loads(text)) == {SETTINGS}
    except (ManifestError, ValueError, RecursionError):  # said where the manifest is read
        return False


def is_inside(path: str) -> bool:
    """Return whether ``path`` is relative and stays inside the folder that it is relative to."""
    parts = PurePosixPath(path).parts
    # Backslashes and drive letters are separators on Windows, and a NUL ends a path in C functions.
    plain = path and "\\" not in path and "\0" not in path and ":" not in path and not path.startswith("/")
    return bool(plain) and bool(parts) and ".." not in parts


def read_manifest(path: Path) -> Manifest:
    """Read and validate the manifest of one model. The weights that it lists must exist inside its folder.

    Parameters
    ----------
    path
        The file, or the submission's folder.

    Raises
    ------
    ManifestError
        The manifest is missing or invalid, or describes several models. The message lists all mistakes with line, key
        and fix.
    """
    path = (manifest_file(path) or path / FILE_NAME) if path.is_dir() else path
    text, document = read_document(path)
    if "model" in document:
        what = "describes models in [[model]] tables where one submission is expected"
        raise ManifestError(what, where=str(path), hint="describe it in [submission] alone")
    manifest = _validate(document, text, path)
    check_files(manifest, text, path)
    return manifest


def read_document(path: Path) -> tuple[str, dict[str, Any]]:
    """Return the text of a manifest and its contents, which are not validated.

    Raises
    ------
    ManifestError
        The file cannot be read or is not valid TOML.
    """
    text = _read_text(path)
    mistakes.check_parts(text, path)
    try:
        return text, {key: value for key, value in tomllib.loads(text).items() if key != SETTINGS}
    except (ValueError, RecursionError) as error:  # int() raises a plain ValueError for too many digits
        raise ManifestError(
            f"is not valid TOML: {error}", where=str(path), hint='quote text as in name = "LRSRN"'
        ) from error


def _read_text(path: Path) -> str:
    try:
        if path.stat().st_size > _MAX_BYTES:  # untrusted: tomllib would read all of it into memory
            raise ManifestError("is larger than 1 MB", where=str(path), hint="a manifest needs about twenty lines")
        # Windows editors write a byte order mark, and line breaks of two characters.
        return read_inside(path, path.parent, _MAX_BYTES).decode("utf-8-sig").replace("\r\n", "\n")
    except ManifestError:
        raise
    except SubmissionError as error:  # not a plain file, or a link that leaves the folder
        raise ManifestError(error.what, where=error.where, hint=error.hint) from error
    except FileNotFoundError as error:
        raise ManifestError(
            "there is no submission.toml", where=str(path.parent), hint="`harness new NAME` creates one to start from"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(
            f"cannot be read as UTF-8 text: {error}", where=str(path), hint="save it as UTF-8"
        ) from error


def _validate(document: dict[str, Any], text: str, path: Path) -> Manifest:
    table = document.get("submission")
    if not isinstance(table, dict):
        raise ManifestError(
            "has no table [submission]", where=str(path), hint='start the file with [submission] and name = "..."'
        )
    others = {key: value for key, value in document.items() if key != "submission"}
    stray = mistakes.stray_tables(others, table, text, path)
    if stray:
        raise mistakes.as_error(stray, path)
    try:
        return Manifest.model_validate({**table, **others})
    except ValidationError as error:
        more = max(0, error.error_count() - mistakes.MAX_ERRORS)
        raise mistakes.as_error(mistakes.from_pydantic(error, text, Manifest), path, more) from error


def check_files(manifest: Manifest, text: str, path: Path) -> None:
    """Check that the files and the folder that a manifest names exist inside the folder of the manifest.

    Parameters
    ----------
    manifest
        What is checked.
    text
        Text of the file, in which the lines of mistakes are searched.
    path
        The manifest's file.

    Raises
    ------
    ManifestError
        One does not exist, or is a link that leaves the folder.
    """
    add = "add the file, or remove the key and set needs_weights = true"
    first = {value: key for key, value in reversed((manifest.weights or {}).items())}  # one path may serve all scales
    places: list[tuple[tuple[str, str], str, Callable[[Path], bool], str]] = [
        (("weights", key), value, _is_plain, add) for value, key in reversed(first.items())
    ]
    if manifest.folder:
        places.append((("submission", "folder"), manifest.folder, Path.is_dir, "name a folder beside the manifest"))
    root = path.parent.resolve()
    found = []
    for (table, key), value, exists, hint in places:
        line, place = mistakes.line_of(text, (table, key)), root / value
        # A symbolic link could point to any file of this machine, which would then be read as a checkpoint.
        if not _resolved(place).is_relative_to(root):
            reason, hint = f"{value} links out of the folder", "copy the file into the folder"  # noqa: PLW2901
        elif not exists(place):
            reason = f"there is no {'folder' if table == 'submission' else 'file'} {value}"
        else:
            continue
        found.append(mistakes.Mistake(line, f"[{table}] {key}", reason, hint))
    if found:
        raise mistakes.as_error(found, path)


def _resolved(file: Path) -> Path:
    """Return a path without symbolic links; one that does not resolve is returned as it is."""
    try:
        return file.resolve()
    except (OSError, RuntimeError):  # a name that is too long, or links in a circle
        return file


def _is_plain(file: Path) -> bool:
    try:
        return file.is_file()
    except OSError:
        return False
