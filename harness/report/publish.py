"""A static site of several runs: an index, their pages and downloads, without logs, samples and local paths."""

from __future__ import annotations

import csv
import io
import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness import __version__
from harness.errors import ResultsError, UsageError
from harness.report.name_hiding import Words
from harness.report.page import build_report
from harness.report.public_run import names_hidden, public_run
from harness.report.runs import RunSummary, summarise_run
from harness.report.site import page, write_page
from harness.results.run_folder import LAYERS, RunFolder, is_file_name, load_run
from harness.results.store import save_table
from harness.text import spreadsheet_text

# Files that are copied to the site, besides the pages and the folders below.
_DOWNLOADS = ("results.json", "leaderboard.csv", "per_image.csv")
_FOLDERS = ("assets", "crops", "models")
_OTHER = "choose another folder with --out"


def publish(run_folders: Sequence[Path], site: Path, *, anonymous: bool = False) -> Path:
    """Write the site of runs into an empty or earlier site's folder, and return its index.

    Each run's pages are built anew from a copy without logs and without paths of this machine. The site holds pages,
    crops, ``results.json`` and the CSV files; no logs, samples or stored measurements.

    Parameters
    ----------
    run_folders
        Folders of finished runs, with different names.
    site
        Folder of the site. It is created; runs of the same name in it are replaced.
    anonymous
        Whether submissions have numbers in place of names.

    Raises
    ------
    UsageError
        Two runs have folders of the same name, the site is inside a run's folder, or a folder in the site has the name
        of a run and holds more than a published run. Nothing is written then.
    ResultsError
        A run cannot be read, or the site cannot be written.
    """
    # Resolved, so that "." and links have the name of the folder itself.
    names = [folder.resolve().name for folder in run_folders]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"two runs have folders of the name {name!r}", hint="rename one of the folders")
    for folder in run_folders:
        if site.resolve().is_relative_to(folder.resolve()):
            raise UsageError("the site lies inside a run's folder", where=str(site), hint="choose another folder")
    for name in names:
        _require_replaceable(site / name)
    runs = []
    for folder, name in zip(run_folders, names, strict=True):
        _publish_run(load_run(folder), site / name, anonymous=anonymous)
        # Of the published copy, so that the index shows no names that were removed.
        runs.append(_summary(site / name))
    index = site / "index.html"
    write_page(index, page("index.html", ("theme.js",), runs=runs, version=__version__))
    write_page(site / ".nojekyll", "")  # GitHub Pages would leave out files that it does not know
    return index


def _require_replaceable(target: Path) -> None:
    """Check that what is in the place of a published run is one: it is deleted, and may be the run itself."""
    try:
        names = sorted((path.name for path in target.iterdir()), key=lambda name: (name.startswith("."), name))
    except FileNotFoundError:
        return
    except OSError as error:
        raise UsageError(f"cannot be replaced ({error.strerror or error})", where=str(target), hint=_OTHER) from error
    foreign = [name for name in names if name not in (*_DOWNLOADS, *_FOLDERS) and not name.endswith(".html")]
    if foreign or target.is_symlink():
        what = f"it holds {foreign[0]}" if foreign else "it is a link"
        raise UsageError(f"is no published run, and would be replaced by one: {what}", where=str(target), hint=_OTHER)


def _summary(folder: Path) -> RunSummary:
    found = summarise_run(folder)
    if found is None:
        raise ResultsError("the published run cannot be read", where=str(folder), hint="publish it again")
    return found


def _publish_run(folder: RunFolder, target: Path, *, anonymous: bool) -> None:
    run, slugs = public_run(folder.run, anonymous=anonymous)
    # Pages are built from what is published, so that none can show what was removed from it.
    with tempfile.TemporaryDirectory() as workplace:
        copy = Path(workplace) / "run"
        copy.mkdir()
        save_table(copy, run)
        _copy_rows(folder, copy, slugs)
        _copy_layers(folder, copy, slugs, anonymous=anonymous)
        build_report(copy)
        try:
            # A row that is no longer in the run must not stay on the site.
            shutil.rmtree(target, ignore_errors=True)
            target.mkdir(parents=True)
            for name in (*_DOWNLOADS, *(file.name for file in copy.glob("*.html"))):
                if (copy / name).is_file():
                    shutil.copy2(copy / name, target / name)
            for name in _FOLDERS:
                if (copy / name).is_dir():
                    shutil.copytree(copy / name, target / name)
        except OSError as error:
            raise ResultsError(f"cannot be written ({error})", where=str(target), hint="free some space") from error


def _copy_rows(folder: RunFolder, copy: Path, slugs: Mapping[str, str]) -> None:
    """Copy the files that pages are built from, under the new slugs."""
    _copy_per_image(folder, copy / "per_image.csv", slugs)
    for old, new in slugs.items():
        if not is_file_name(old):
            continue
        file = folder.path / "samples" / f"{old}.json"
        if file.is_file():
            (copy / "samples").mkdir(exist_ok=True)
            shutil.copyfile(file, copy / "samples" / f"{new}.json")
        for picture in (folder.path / "crops").glob(f"*/models/{_escaped(old)}.webp"):
            place = copy / "crops" / picture.parent.parent.name / "models" / f"{new}.webp"
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(picture, place)
    # Lists of crops, and the pictures that are no model's.
    for shared in [*(folder.path / "crops").glob("*.json"), *(folder.path / "crops").glob("*/*.webp")]:
        place = copy / "crops" / shared.relative_to(folder.path / "crops")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(shared, place)


def _copy_layers(folder: RunFolder, copy: Path, slugs: Mapping[str, str], *, anonymous: bool) -> None:
    """Copy the layers of rows, whose classes may have the name of the network."""
    hidden: Words = names_hidden(folder.run) if anonymous else str
    for old, new in slugs.items():
        layers = [
            layer.model_copy(update={"name": hidden(layer.name), "type": hidden(layer.type)})
            for layer in folder.layers(old)
        ]
        if layers:
            write_page(copy / "layers" / f"{new}.json", LAYERS.dump_json(layers).decode())


def _escaped(slug: str) -> str:
    # In brackets, glob takes these characters literally.
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in slug)


def _copy_per_image(folder: RunFolder, target: Path, slugs: Mapping[str, str]) -> None:
    rows = folder.image_lines()
    if not rows:
        return
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        slug, image = slugs.get(row["slug"], row["slug"]), row["image"]
        # A spreadsheet would take some slugs and names for formulas.
        writer.writerow({**row, "slug": spreadsheet_text(slug), "image": spreadsheet_text(image)})
    write_page(target, out.getvalue())


def write_feedback(run_folders: Sequence[Path], target: Path) -> list[Path]:
    """Write one folder per team with a page for each of its submissions: its row, or what failed and how to fix it.

    Parameters
    ----------
    run_folders
        Folders of finished runs.
    target
        Folder for the folders of the teams. It is for the organiser to send, not for the site.

    Returns
    -------
    list of Path
        The folders of the teams.
    """
    teams: dict[str, Path] = {}
    for folder in map(load_run, run_folders):
        for entry in folder.run.entries:
            if entry.kind != "submission":
                continue
            # Without a team, every submission is a team of its own: nobody must get another one's feedback.
            key = entry.team or entry.name
            place = teams.setdefault(key, target / _folder_name(key, teams))
            run = folder.path.resolve().name
            text = page("feedback.md", (), run=folder.run, entry=entry, folder=run, log=_log_tail(folder, entry.slug))
            write_page(place / f"{run}-{_folder_name(entry.slug or entry.name, {})}.md", text)
            row = json.dumps(entry.model_dump(mode="json"), indent=1, ensure_ascii=False)
            write_page(place / f"{run}-{_folder_name(entry.slug or entry.name, {})}.json", row)
    return list(teams.values())


def _folder_name(key: str, taken: Mapping[str, Path]) -> str:
    plain = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "-_") else "-" for letter in key)
    name = plain.strip("-")[:60] or "team"
    used = {path.name for path in taken.values()}
    # At most len(used) of these names are taken, so that one is free.
    return next(one for one in (name, *(f"{name}-{n}" for n in range(2, len(used) + 3))) if one not in used)


def _log_tail(folder: RunFolder, slug: str, lines: int = 60) -> str:
    for name in (f"{slug}.log", f"{slug}.txt"):
        file = folder.path / "logs" / name
        if is_file_name(slug) and file.is_file():
            # The end, where the failure is. A log may be megabytes.
            text = file.read_bytes()[-100_000:].decode("utf-8", "replace")
            return "\n".join(text.splitlines()[-lines:])
    return ""
