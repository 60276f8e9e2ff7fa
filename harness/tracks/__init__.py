"""The challenges: what each demands, how each scores, and how rows are ranked."""

from harness.tracks.catalogue import TRACKS, get_track, list_tracks, track_for_scale, track_of
from harness.tracks.esr import ESR_TRACKS, PSNR_GATES, EsrFigures, EsrScore, EsrTrack, get_esr_track, passes_gate
from harness.tracks.expression import Expression
from harness.tracks.info import track_info
from harness.tracks.leaderboard import Candidate, make_leaderboard
from harness.tracks.ranking import rank, rank_sum
from harness.tracks.track import FPS_BANDS, Track

__all__ = [
    "ESR_TRACKS",
    "FPS_BANDS",
    "PSNR_GATES",
    "TRACKS",
    "Candidate",
    "EsrFigures",
    "EsrScore",
    "EsrTrack",
    "Expression",
    "Track",
    "get_esr_track",
    "get_track",
    "list_tracks",
    "make_leaderboard",
    "passes_gate",
    "rank",
    "rank_sum",
    "track_for_scale",
    "track_info",
    "track_of",
]
