import pytest

from connectors.status import GROUPS, LOGS, detector_key, logs_key, partition_key, place_of


def test_keys_name_their_place() -> None:
    assert place_of(detector_key("cpu-1", 12)) == ("cpu-1", "12")
    assert place_of(detector_key("cpu-1", None)) == ("cpu-1", GROUPS)
    assert place_of(partition_key(3)) == ("", "3")
    assert place_of(logs_key(4095)) == (LOGS, "4095")


def test_a_detector_called_partition_is_none() -> None:
    assert place_of(detector_key("partition", 3)) != place_of(partition_key(3))


@pytest.mark.parametrize(
    "key",
    [None, b"", b"detector/x", b"detector/X/1", b"partition/-1", b"\xff", b"partition/1/2", b"logs/12345", b"logs/"],
)
def test_other_keys_name_nothing(key: bytes | None) -> None:
    assert place_of(key) is None
