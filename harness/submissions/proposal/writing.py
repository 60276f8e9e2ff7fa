"""Write ``harness.toml`` for a repository, for ``harness init``: one table for each checkpoint."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from harness.errors import UsageError
from harness.files import atomic_file
from harness.plain_files import survey
from harness.submissions.argument_names import CONFIG_NAMES, SCALE_NAMES, is_recognised
from harness.submissions.loaders import PREFIX, loader_for
from harness.submissions.manifest import SHARED_FILE_NAME, is_inside, manifest_file
from harness.submissions.pairs import CHECKPOINT_SUFFIXES
from harness.submissions.proposal.classes import NetworkClass, network_classes
from harness.submissions.proposal.matching import SAID, Match, match

# Files that a loader takes without a class: ONNX models and exported programs.
_PROGRAMS = frozenset({".onnx", ".pt2"})
_MOST = 300  # checkpoints
_MOST_ALTERNATIVES = 5
_MOST_NAMED = 3  # checkpoints in a message
_UNMATCHED = "no class has the names of its tensors"
_SAY_NOTHING = frozenset(
    "arch best checkpoint ckpt ema epoch final g generator init iter last latest main model models net network "
    "networks params pretrained psnr step test train trained weight weights x".split()
)
"""Words in the names of checkpoints, classes and files of any network."""
_TOP = """\
# Written by `harness init`. A line that begins with `# ?` could not be decided: `harness check .` tries the models and
# says what to write, such as value_range = 255.0 or colour = "bgr". docs/submitting.md describes every key.

[submission]
team = ""
"""


@dataclass(frozen=True, slots=True)
class Proposal:
    """The text of a manifest, and what it describes.

    Attributes
    ----------
    text
        Contents of the file.
    models
        Number of models with a class or a loader.
    undecided
        Number of lines that could not be decided.
    left_over
        Checkpoints that it does not describe, each with the reason.
    """

    text: str
    models: int
    undecided: int
    left_over: tuple[str, ...] = ()


def write(root: Path) -> Proposal:
    """Write the proposed manifest into a repository and return it. Nothing is overwritten.

    Raises
    ------
    UsageError
        The folder does not exist or has a manifest, or there is nothing to describe.
    """
    if not root.is_dir():
        raise UsageError("is no folder", where=str(root), hint="give the folder of a repository")
    if (existing := manifest_file(root)) is not None:
        raise UsageError("has a manifest already", where=str(existing), hint="remove it, or edit it")
    proposal = propose(root)
    if not proposal.models:
        raise _nothing_found(root, proposal)
    try:
        with atomic_file(root / SHARED_FILE_NAME) as file:
            file.write(proposal.text.encode())
    except OSError as error:
        raise UsageError(f"cannot be written: {error.strerror}", where=str(root / SHARED_FILE_NAME)) from error
    return proposal


def _nothing_found(root: Path, proposal: Proposal) -> UsageError:
    where, what = str(root), "no checkpoint was found that fits a network in it"
    if not proposal.left_over:
        hint = "download the checkpoints that its README names, or write a manifest: docs/submitting.md"
        return UsageError(what, where=where, hint=hint)
    more = f"; and {len(proposal.left_over) - _MOST_NAMED} more" if len(proposal.left_over) > _MOST_NAMED else ""
    said = f"{what} ({'; '.join(proposal.left_over[:_MOST_NAMED])}{more})"
    return UsageError(said, where=where, hint="docs/submitting.md says how checkpoints are read and described")


def propose(root: Path) -> Proposal:
    """Return the manifest of a repository: a model for each checkpoint, ONNX file and exported program in it.

    Raises
    ------
    SubmissionError
        The folder has too many files, or a link in it leads out.
    """

    def ignored(_name: str, relative: str) -> bool:
        return relative.startswith(".")

    files = [path.relative_to(root).as_posix() for path in survey(root, ignored=ignored).files]
    usable = [file for file in files if is_inside(file) and file.isprintable()]
    classes = network_classes(root, [file for file in usable if file.endswith(".py")])
    checkpoints = [file for file in usable if PurePosixPath(file).suffix.lower() in CHECKPOINT_SUFFIXES]
    matches = [match(root, file, classes) for file in checkpoints[:_MOST]]
    names: set[str] = set()
    groups = _groups(one for one in matches if one.classes)
    named = zip(groups, _names(groups), strict=True)
    blocks = ["\n".join(_lines(group, _distinct(name, names), root)) for group, name in named]
    programs = [file for file in usable if PurePosixPath(file).suffix.lower() in _PROGRAMS]
    blocks += [_program(file, _distinct(PurePosixPath(file).stem, names)) for file in programs]
    left = [f"{one.file}: {one.problem or _UNMATCHED}" for one in matches if not one.classes]
    text = "\n".join([_TOP, *blocks, *_left_over(left, checkpoints[_MOST:])])
    return Proposal(text, len(blocks), len(re.findall(r"^# \?", text, re.MULTILINE)), tuple(left))


def _names(groups: Sequence[Sequence[Match]]) -> list[str]:
    """Return a name for each group; models of one name whose files say different scales keep them in their names."""
    names = [_name(group[0]) for group in groups]
    stems = [PurePosixPath(group[0].file).stem for group in groups]
    told = [stem if len(group) == 1 else name for group, name, stem in zip(groups, names, stems, strict=True)]
    return [
        longer if names.count(name) > 1 and told.count(longer) == 1 else name
        for name, longer in zip(names, told, strict=True)
    ]


def _name(one: Match) -> str:
    """Return the name of the checkpoint without the scale, or that of the class or its file if it says nothing."""
    best = one.classes[0]
    names = [SAID.sub("", PurePosixPath(one.file).stem).strip(" _-."), best.name, PurePosixPath(best.file).stem]
    return next((name for name in names if not _says_nothing(name)), best.name)


def _says_nothing(name: str) -> bool:
    return set(re.findall(r"[a-z]+", name.lower())) <= _SAY_NOTHING


def _distinct(name: str, names: set[str]) -> str:
    """Return the name, numbered if it is taken, and remember it."""
    found, number = name, 2
    while found in names:
        found, number = f"{name} ({number})", number + 1
    names.add(found)
    return found


def _groups(matches: Iterable[Match]) -> list[list[Match]]:
    """Return checkpoints of one class whose files have the same name but for the scale, together."""
    groups: dict[tuple[str, ...], list[Match]] = {}
    for one in matches:
        key = (one.classes[0].file, one.classes[0].name, SAID.sub("", one.file))
        group = groups.setdefault(key, [])
        if one.scale is None or any(one.scale == other.scale for other in group):
            # Without a scale, or with one that the group has already, a checkpoint is a model of its own.
            groups[*key, one.file] = [one]
        else:
            group.append(one)
    return [group for group in groups.values() if group]


def _lines(group: Sequence[Match], name: str, root: Path) -> Iterator[str]:
    one = group[0]
    best = one.classes[0]
    folder, factory = _place(best, root)
    places = [_place(other, root) for other in one.classes[1:]]
    others = [name for inside, name in places if inside == folder][:_MOST_ALTERNATIVES]
    yield "[[model]]"
    yield f"name = {_quoted(name)}"
    if folder:
        yield f"folder = {_quoted(folder)}"
    yield f"factory = {_quoted(factory)}"
    if others:
        yield f"alternatives = [{', '.join(_quoted(other) for other in others)}]"
    if len(group) > 1:
        yield f"scales = [{', '.join(str(one.scale) for one in group)}]"
        yield f"weights = {{ {', '.join(f'x{one.scale} = {_quoted(one.file)}' for one in group)} }}"
    else:
        yield f"weights = {_quoted(one.file)}"
        yield from _scale_lines(one, best)
    unknown = [name for name in best.required if name not in CONFIG_NAMES and not is_recognised(name)]
    # A single unknown argument may be the scale, unless another one is.
    if len(unknown) > 1 or (unknown and any(name in SCALE_NAMES for name in (*best.required, *best.optional))):
        line = ", ".join(f"{name} = ?" for name in unknown)
        yield f"# ? its arguments: kwargs = {{ {line} }}"
    yield ""


def _scale_lines(one: Match, best: NetworkClass) -> Iterator[str]:
    if one.scale is not None:
        yield f"scales = [{one.scale}]"
        return
    defaults = [value for name, value in best.optional.items() if "scale" in name]
    if defaults and defaults[0] in ("2", "3", "4"):
        yield f"scales = [{defaults[0]}]  # the default of the class"
        return
    yield "# ? the scale was not found: 2, 3 or 4"
    yield "scales = [4]"


def _place(one: NetworkClass, root: Path) -> tuple[str, str]:
    """Return the folder from which a class is imported, and its factory.

    Only identifiers can be parts of a module. A package that its file imports must be found in the folder.
    """
    *folders, file = PurePosixPath(one.file).with_suffix("").parts
    first = max((number + 1 for number, part in enumerate(folders) if not part.isidentifier()), default=0)
    for depth in range(first, len(folders) + 1):
        # Unless an import is found from the root, the outermost folder from which one is found is taken.
        inside = root.joinpath(*folders[:depth])
        if not any((root / name).exists() or (root / f"{name}.py").exists() for name in one.imports) and any(
            (inside / name).exists() or (inside / f"{name}.py").exists() for name in one.imports
        ):
            first = depth
            break
    parts = [*folders[first:], *([] if file == "__init__" and folders[first:] else [file])]
    return "/".join(folders[:first]), f"{'.'.join(parts)}:{one.name}"


def _program(file: str, name: str) -> str:
    loader = loader_for(Path(file)) or "onnx"
    said = SAID.search(file)
    scale = "# ? the scale was not found: 2, 3 or 4\nscales = [4]"
    if said is not None:
        scale = f"scales = [{said[said.lastindex or 0]}]"
    return f'[[model]]\nname = {_quoted(name)}\nfactory = "{PREFIX}{loader}"\nweights = {_quoted(file)}\n{scale}\n'


def _left_over(left: Sequence[str], more: Sequence[str]) -> list[str]:
    lines = [f"# {one}" for one in left]
    if more:
        lines.append(f"# and {len(more)} more checkpoints, which were not read")
    return ["# Checkpoints that are not described:", *lines, ""] if lines else []


def _quoted(text: str) -> str:
    """Return printable text as a basic string of TOML, whose escapes are those of JSON."""
    return json.dumps(text, ensure_ascii=False)
