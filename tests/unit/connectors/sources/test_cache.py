from __future__ import annotations

from connectors.sources.cache import ResultCache


def test_a_result_holds_for_its_time() -> None:
    now = [0.0]
    cache = ResultCache(ttl_s=300.0, now_s=lambda: now[0])
    cache.put("usual", 1, 10)
    cache.put("short", 2, 10, ttl_s=15.0)
    cache.put("never", 3, 10, ttl_s=0.0)
    cache.put("long", 4, 10, ttl_s=9999.0)
    now[0] = 14.9
    assert [cache.get(key) for key in ("usual", "short", "never", "long")] == [1, 2, None, 4]
    now[0] = 15.0
    assert [cache.get(key) for key in ("usual", "short")] == [1, None]
    now[0] = 300.0
    assert [cache.get(key) for key in ("usual", "long")] == [None, None]
    assert (len(cache), cache.size_bytes) == (0, 0)
    assert (cache.figures.hits, cache.figures.misses) == (4, 4)
    assert cache.figures.hit_ratio == 0.5


def test_the_least_recently_used_goes_first() -> None:
    cache = ResultCache(most_entries=3)
    for key in "abc":
        cache.put(key, key, 1)
    assert cache.get("a") == "a"
    cache.put("d", "d", 1)
    assert [cache.get(key) for key in "abcd"] == ["a", None, "c", "d"]
    assert cache.figures.evicted == 1


def test_bytes_are_bounded_too() -> None:
    cache = ResultCache(most_bytes=100)
    for key in range(20):
        cache.put(key, key, 20)
    assert (len(cache), cache.size_bytes) == (5, 100)
    cache.put("large", 1, 26)
    assert cache.get("large") is None
    assert len(cache) == 5
    cache.put(19, "again", 1)
    assert (cache.get(19), cache.size_bytes) == ("again", 81)


def test_before_the_first_question_there_is_no_ratio() -> None:
    assert ResultCache().figures.hit_ratio is None
