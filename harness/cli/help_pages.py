"""The order of commands and options in help texts, and the examples below them."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup

PANELS: dict[str, tuple[str, ...]] = {
    "Your model": ("example", "new", "check", "reparam", "convert"),
    "Measure": ("run", "config", "time", "quality"),
    "Results": ("report", "export", "figure", "choose", "compare", "history", "serve", "schema"),
    "Challenges": ("score", "rescore", "tracks"),
    "Images": ("datasets", "prepare"),
    "This machine": ("doctor", "plugins"),
}
"""Commands in the order of a person's work, by the heading above them. Commands that are in no list follow."""

OPTION_PANELS: dict[str, tuple[str, ...]] = {
    "What is measured": ("scale", "track", "dataset", "only", "exclude", "baselines", "convention"),
    "Device and timing": (
        "device", "threads", "precision", "backend", "protocol", "time_budget", "processes", "timeout", "engine",
        "address", "time_on", "verify_graph", "recount", "reparam", "analysis_limit",
    ),
    "Isolation and packages": ("sandbox", "install", "wheels", "trust_pickle"),
    "Results": (
        "out_folder", "images", "crop", "save_images", "fresh", "retry_failed", "strict", "profile", "as_json",
    ),
}  # fmt: skip
"""Options of ``harness run`` by the heading above them; others are below the heading of typer."""

EXAMPLES: dict[str, tuple[str, ...]] = {
    "run": (
        "harness run submissions/ --scale 2",
        "harness run MyNet rivals.zip --track ntire23-x3 --out reports/rivals",
        "harness run submissions --dataset Set5 --dataset Set14",
        "harness run submissions --backend eager,channels_last",
        "harness run    (with the settings of harness.toml, which harness config shows)",
    ),
    "time": ("harness time submissions/LRSRN submissions/SESR",),
    "check": ("harness check MyNet", "harness check inbox --json"),
    "choose": ("harness choose reports/sample --fps 30 --by psnr_y",),
    "config": ("harness config", "harness config --scale 3"),
    "compare": ("harness compare reports/monday reports/tuesday", "harness compare RUN --models LRSRN SESR"),
    "score": ("harness score --psnr 35.02 --runtime 3.19",),
    "export": ("harness export RUN --format latex -o table.tex",),
    "figure": (
        "harness figure RUN --x runtime --y psnr_y --width 3.3in --highlight MyNet -o scatter.pdf",
        "harness figure RUN --crops balcony:336,720,192 --models LRSRN SESR -o crops.pdf",
    ),
    "example": ("harness example demo",),
}


def panel_of(command: str) -> str | None:
    """Return the heading above a command; None for commands that are in no list."""
    return next((panel for panel, names in PANELS.items() if command in names), None)


def epilog_of(command: str) -> str | None:
    """Return the examples of a command, each in a paragraph of its own."""
    lines = EXAMPLES.get(command)
    return None if lines is None else "\n\n".join(["Examples:", *lines])


class OrderedGroup(TyperGroup):
    """Commands in the order of :data:`PANELS`, and options of ``run`` below the headings of :data:`OPTION_PANELS`."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of all commands."""
        order = [name for names in PANELS.values() for name in names]
        names = super().list_commands(ctx)
        return sorted(names, key=lambda name: order.index(name) if name in order else len(order))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command."""
        command: Any = super().get_command(ctx, cmd_name)
        if command is not None and cmd_name == "run":
            panels = {name: panel for panel, names in OPTION_PANELS.items() for name in names}
            parameters: list[Any] = command.params
            for parameter in parameters:
                if parameter.name in panels:
                    parameter.rich_help_panel = panels[parameter.name]
            order = list(panels)  # headings appear in the order of the first option below them
            # The sort is stable: parameters without a heading stay first, in their order.
            parameters.sort(key=lambda one: order.index(one.name) if one.name in panels else -1)
        return command
