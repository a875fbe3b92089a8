from api.kept_revisions import KeptRevisions
from connectors.detector import Detector, DetectorConfig


def detector(detector_id: str, revision: int) -> Detector:
    config = DetectorConfig(name=f"{detector_id}{revision}", selector="up")
    return Detector(id=detector_id, revision=revision, config=config, author="a", updated_ms=1)


def kept(per_detector: int, in_all: int) -> tuple[KeptRevisions, list[None]]:
    dropped = list[None]()
    return KeptRevisions(lambda: dropped.append(None), per_detector, in_all), dropped


def test_the_newest_come_first_and_each_is_as_it_was() -> None:
    revisions, dropped = kept(9, 9)
    for number in (1, 2, 3):
        revisions.add(detector("a", number))
    assert revisions.before("a", 3) == [2, 1]
    assert revisions.text("a", 2) == detector("a", 2).model_dump_json()
    assert revisions.get("a", 3) == detector("a", 3)
    assert revisions.get("a", 4) is None
    assert revisions.before("b", 3) == []
    assert dropped == []


def test_the_oldest_of_a_detector_makes_room() -> None:
    revisions, dropped = kept(2, 9)
    revisions.add(detector("b", 1))
    for number in range(1, 6):
        revisions.add(detector("a", number))
    assert revisions.before("a", 99) == [5, 4]
    assert revisions.get("b", 1) is not None
    assert (len(revisions), len(dropped)) == (3, 3)


def test_the_oldest_of_all_makes_room() -> None:
    revisions, dropped = kept(9, 3)
    for name, number in (("a", 1), ("b", 1), ("a", 2), ("c", 1), ("d", 1)):
        revisions.add(detector(name, number))
    assert (len(revisions), len(dropped)) == (3, 2)
    assert revisions.before("a", 99) == [2]
    assert revisions.before("b", 99) == []


def test_a_deleted_one_has_no_past() -> None:
    revisions, dropped = kept(9, 9)
    for number in (1, 2):
        revisions.add(detector("a", number))
    revisions.add(detector("b", 1))
    revisions.remove("a")
    revisions.remove("never")
    assert (len(revisions), dropped) == (1, [])
    revisions.add(detector("a", 1))
    assert revisions.before("a", 99) == [1]
