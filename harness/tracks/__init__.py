"""The challenges: what each demands, how each scores, and how rows are ranked."""

from harness.tracks.catalogue import DEFAULT_SCALES, TRACKS, get_track, list_tracks, track_for_scale, track_of
from harness.tracks.custom import read_track
from harness.tracks.expression import Expression
from harness.tracks.figures import FIGURES, Figures
from harness.tracks.info import track_info
from harness.tracks.leaderboard import Candidate, make_leaderboard
from harness.tracks.published import PublishedTable
from harness.tracks.ranking import rank, rank_sum
from harness.tracks.track import FPS_BANDS, Gate, Track, TrackDataset

__all__ = [
    "DEFAULT_SCALES",
    "FIGURES",
    "FPS_BANDS",
    "TRACKS",
    "Candidate",
    "Expression",
    "Figures",
    "Gate",
    "PublishedTable",
    "Track",
    "TrackDataset",
    "get_track",
    "list_tracks",
    "make_leaderboard",
    "rank",
    "rank_sum",
    "read_track",
    "track_for_scale",
    "track_info",
    "track_of",
]
