"""What a worker's reply says of a network reaches its row."""

from types import SimpleNamespace

from harness.isolation.requests import CountReply, LayerReply
from harness.results import Measurement
from harness.run import stages
from harness.tracks import Candidate, get_track, make_leaderboard
from harness.tracks.scoring import ScoringRules


def test_counts_are_passed_on_by_their_names_from_the_reply_to_the_row() -> None:
    layer = LayerReply(
        name="\x1bhead", type="Conv2d", kernel=[3, 3], settings="", in_channels=3, out_channels=12,
        output_shape=[12, 8, 8], params=336, macs=20736, calls=1,
    )  # fmt: skip
    reply = CountReply(
        params=1, macs=2, activations=3, macs_ntire23=4, incomplete_ops=["aten::x"], source="how", bytes_moved=5,
        operators=6, layers=[layer], note="with two buffers",
    )  # fmt: skip
    part, remark = stages.count(SimpleNamespace(count=lambda _shape: reply), (1, 3, 8, 8), "graph")  # type: ignore[arg-type]
    assert remark == "with two buffers"
    measured = Measurement.empty("fingerprint").updated(part)
    assert (measured.bytes_moved, measured.operators) == (5, 6)
    assert measured.layers[0].name == "\ufffdhead"  # the name is the submission's text
    candidate = Candidate("name", "", "submission", "slug", measured, None)
    (row,) = make_leaderboard([candidate], ScoringRules(get_track("ntire23-x2"), 30.0, "median")).entries
    assert (row.params, row.macs, row.flops, row.activations, row.macs_ntire23) == (1, 2, 4, 3, 4)
    assert (row.incomplete_ops, row.macs_source, row.counted_by) == (["aten::x"], "how", "graph")
    assert (row.fingerprint, row.status) == ("fingerprint", "ok")
