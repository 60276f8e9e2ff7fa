"""Relations within the published tables that hold no score, and that every table is tested."""

import json
from fractions import Fraction
from pathlib import Path

Row = dict[str, str]
TESTS = Path(__file__).parents[1]
WITHOUT_FORMULA = {"ntire2023_rtsr_readme_baselines"}  # runtimes on two cards: nothing in it follows from the rest


def ends(printed: str) -> tuple[Fraction, Fraction]:
    """Return the smallest and the largest number that prints so."""
    half = Fraction(1, 2 * 10 ** len(printed.partition(".")[2]))
    return Fraction(printed) - half, Fraction(printed) + half


def meet(one: tuple[Fraction, Fraction], other: tuple[Fraction, Fraction]) -> bool:
    return one[0] <= other[1] and other[0] <= one[1]


def test_operations_of_the_2023_report(table) -> None:
    """Three counts are those of the convention; RT4KSR's is 64/9 of its own, the named misprint."""
    rows = [row for row in table("flops_convention_check") if row["flops_G_published"]]
    exact = [row for row in rows if row["match"] == "exact"]
    (rt4ksr,) = (row for row in rows if row not in exact)
    assert [row["flops_G_published"] for row in exact] == [row["macs_G_ntire23_counter"] for row in exact]
    low, high = ends(rt4ksr["macs_G_ntire23_counter"])
    assert rt4ksr["model"].startswith("Our Baseline")
    assert meet((low * 64 / 9, high * 64 / 9), ends(rt4ksr["flops_G_published"]))
    assert not meet((low, high), ends(rt4ksr["flops_G_published"]))


def test_our_operations_are_the_tables(table) -> None:
    """Networks of the committed report whose counts the table has."""
    results = json.loads((TESTS.parent / "reports" / "sample" / "results.json").read_text())
    ours = {entry["name"]: entry for entry in results["entries"]}
    pairs = {"LRSRN": "z6 / LRSRN x2", "CRC": "DoYouChargeQQCoin", "RTVSR": "RTVSR / REPNet x2"}
    for name, start in pairs.items():
        (row,) = (row for row in table("flops_convention_check") if row["model"].startswith(start))
        assert round(ours[name]["macs_ntire23"] / 1e9, 4) == float(row["macs_G_ntire23_counter"]), name


def test_the_first_image_of_the_efficient_challenges(table) -> None:
    """The mean is that of the first image and of the others: the first call is in it, cold."""
    rows = table("ntire2026_esr_cold_start")
    assert len(rows) == 17
    for row in rows:
        count = int(row["n_valid"])
        mean, first, rest, share = (
            ends(row[column])
            for column in (
                "valid_mean_ms", "valid_first_image_ms", "valid_mean_without_first_ms", "first_image_share_of_total"
            )
        )  # fmt: skip
        total = tuple((first[end] + (count - 1) * rest[end]) / count for end in (0, 1))
        assert meet((total[0], total[1]), mean), row["model"]
        assert meet((first[0] / (count * mean[1]), first[1] / (count * mean[0])), share), row["model"]


def test_runtimes_of_2026_are_means_of_both_data_sets(table) -> None:
    stored = {row["model"]: row for row in table("ntire2026_esr_cold_start")}
    for row in table("ntire2026_esr_results_txt"):
        valid, test, mean = (ends(row[column]) for column in ("val_time_ms", "test_time_ms", "ave_time_ms"))
        assert meet(((valid[0] + test[0]) / 2, (valid[1] + test[1]) / 2), mean), row["model"]
        assert meet(ends(stored[row["model"]]["valid_mean_ms"]), valid), row["model"]
        assert meet(ends(stored[row["model"]]["test_mean_ms"]), test), row["model"]


def test_every_published_table_is_read_by_a_test(shared: Path) -> None:
    texts = [path.read_text() for path in TESTS.rglob("test_*.py")]
    tables = {path.stem for path in (shared / "published").glob("*.csv")}
    read = {name for name in tables if any(f"/{name}.csv" in text or f'"{name}' in text for text in texts)}
    assert len(tables) > 10
    assert tables - read - WITHOUT_FORMULA == set()
