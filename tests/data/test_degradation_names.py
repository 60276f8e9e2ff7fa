"""The error of an unknown degradation names every family."""

import pytest

from harness.data.degradation import get_degradation
from harness.errors import UsageError


def test_all_degradations_are_listed() -> None:
    with pytest.raises(UsageError) as caught:
        get_degradation("png")
    listed = str(caught.value).rstrip(".").partition("one of: ")[2].split(", ")
    assert {"jpegQ", "jpegQ-444", "jpegQ-422", "ntire23", "avif63"} <= set(listed)
    for name in listed:
        assert get_degradation(name.replace("Q", "75")).name
