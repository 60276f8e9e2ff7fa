"""Replace names in texts, in whatever form they are written, and leave other words as they are."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

Words = Callable[[str], str]

_ORDINARY = frozenset(
    """
    a about above accelerator after all allowed alone an anchor and another any are arguments array as at author auto
    automatic available back backend baseline be because before below best better bicubic bilinear bit both bytes call
    called calls can cannot card channel channels check checkpoint class clock code collapsed column compile compute
    conv convolution copy core cores count cpu crop cuda damaged data dataset default did differ differs different
    directory disqualified do does doubtful down each eager empty end error every export failed failure fast faster
    fastest few figure figures file files finite first float folder for form forms forward fps frame frames from fuse
    generate given gpu graph half had harness has have here higher hr if image images import in index inference input
    inside install installed invalid is it its kept kernel key large larger last layer left less limit lines link list
    load loaded local lower lr machine main manifest many may mean median memory method missing model models module
    more most ms must name named names nearest needs net network networks never new no none not note nothing number of
    off ok on one only open operator operators or order organiser organisers other others out output outputs over
    package packages padded parameter parameters parts pass path per pickle pixel pixels plain plug precision process
    processes processor program programs psnr python quality range rank ranked read real refused reparam request
    result rounds row rows run runs runtime same sample samples sandbox scale score scored script second seconds see
    set setting settle shape sharp shown size sizes slow small ssim start state stated step still submission
    submissions submit submitted such super support tar team tensor tensors test than that the their them then there
    these they this those thread threads throttled time timed timeout times timing to too torch track train trained
    transform transformer turn two type under unit unknown unsettled unsupported up upscale upscaled used user uses
    validation value values version was wait warning weight weights were what when where which while whole with within
    without worker write written wrong x2 x3 x4 you zip
    """.split()
)
"""Words of messages, casefolded. A name that is made of them cannot be told from them within a sentence."""

# A name of this many letters is looked for inside of longer words, too.
_DISTINCT = 5
_BEGINS = r"(?:(?<![^\W\d_])|(?<=[a-z])(?=[A-Z]))"
_ENDS = r"(?:(?![^\W\d_])|(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z]))"
"""Where a word ends: beside anything that is no letter, and in CamelCase."""
_FILES = r"(?:ckpt|onnx|pkl|pth?|py|safetensors|toml|zip)\b"


def hiding(names: Iterable[tuple[str, str]]) -> Words:
    """Return a function that replaces names in a text.

    A name is found in any case and with any separators, in paths, file names and identifiers: ``Deep SR`` also as
    ``deep_sr``, ``DeepSR`` and ``models/deep-sr.pt``. A name that is an ordinary word, a letter or a number is replaced
    only where the text shows that it is a name: in quotes, in a path, in front of a colon, in a list of names, after
    ``team``, or in its own capital letters within a sentence.

    Parameters
    ----------
    names
        Pairs of a name and what stands in its place. A name that is given several times with different replacements
        becomes ``a submission``.
    """
    replacements: dict[str, str] = {}
    spellings: dict[str, str] = {}
    for name, instead in names:
        if key := _key(name):
            # By what all forms have in common, so that two spellings of one name do not count as different names.
            replacements[key] = instead if replacements.get(key, instead) == instead else "a submission"
            spellings[name.strip()] = key
    if not spellings:
        return lambda text: text
    # Longer names come first, because a name may contain another one. One group each says which one was found.
    known = sorted(spellings, key=lambda name: (-len(name), name))
    pattern = re.compile("|".join(f"({_pattern(name)})" for name in known))
    return lambda text: pattern.sub(lambda match: replacements[spellings[known[(match.lastindex or 1) - 1]]], text)


def _key(name: str) -> str:
    """Return what all forms of a name have in common; the name itself if it has no letters and digits."""
    return re.sub(r"[\s_.-]+", "", name).casefold() or name.strip()


def _pattern(name: str) -> str:
    """Return the regular expression of a name, without groups."""
    parts = re.findall(r"[^\W_]+|[\W_]+", name.strip())
    last = len(parts) - 1
    # Symbols at the ends belong to the name, such as ``++``. Those within are separators, and may be others or none.
    written = [
        re.escape(part) if part[0].isalnum() or place in (0, last) else r"[\W_]{0,3}"
        for place, part in enumerate(parts)
    ]
    any_case = f"(?i:{''.join(written)})"
    letters = [part.casefold() for part in parts if part[0].isalnum()]
    if not letters:
        return any_case
    if _is_ordinary(name, letters):
        return _as_name(name.strip(), any_case)
    begins = _BEGINS + (r"(?<!\d)" if name.strip()[0].isdigit() else "")
    ends = _ENDS + (r"(?!\d)" if name.strip()[-1].isdigit() else "")
    joined = "".join(letters)
    # Inside of a longer word, too, unless it is part of an ordinary one.
    if len(joined) >= _DISTINCT and not any(joined in word for word in _ORDINARY):
        return any_case
    return f"{begins if parts[0][0].isalnum() else ''}{any_case}{ends if parts[last][0].isalnum() else ''}"


def _is_ordinary(name: str, letters: list[str]) -> bool:
    plain = re.fullmatch(r"[\w\s.-]+", name.strip()) is not None
    return plain and all(part in _ORDINARY or len(part) == 1 or part.isdecimal() for part in letters)


def _as_name(name: str, any_case: str) -> str:
    """Return the regular expression of an ordinary word where it is a name."""
    places = [
        rf"(?<![^\W_]){any_case}(?=[/\\])",
        rf"(?<=[/\\]){any_case}(?=[/\\'\"]|\.\w)",
        rf"(?<=['\"`]){any_case}(?=['\"`])",
        rf"(?:^|(?<=: )|(?<=, )|(?<= and )){any_case}(?=[:,]|\.?$|\.\s| and )",
        rf"(?<=[Tt]eam ){any_case}(?![^\W_])",
        rf"(?<![^\W_]){any_case}(?=\.{_FILES})",
    ]
    if name != name.casefold():
        places.append(rf"(?<=[a-z,;] ){re.escape(name)}(?![^\W_])")
    return "|".join(places)
