import pytest

from connectors.status import GROUPS, detector_key, partition_key, place_of


def test_keys_name_their_place() -> None:
    assert place_of(detector_key("cpu-1", 12)) == ("cpu-1", "12")
    assert place_of(detector_key("cpu-1", None)) == ("cpu-1", GROUPS)
    assert place_of(partition_key(3)) == ("", "3")


def test_a_detector_called_partition_is_none() -> None:
    assert place_of(detector_key("partition", 3)) != place_of(partition_key(3))


@pytest.mark.parametrize("key", [None, b"", b"detector/x", b"detector/X/1", b"partition/-1", b"\xff", b"partition/1/2"])
def test_other_keys_name_nothing(key: bytes | None) -> None:
    assert place_of(key) is None
