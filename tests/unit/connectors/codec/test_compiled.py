from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from connectors.codec.compiled import Deferred, njit


def doubled(value: int) -> int:
    return 2 * value


class Module:
    """The names of a module whose kernels are made of plain functions, and in which order they were made."""

    def __init__(self, order: list[str]) -> None:
        self.names: dict[str, Any] = {}
        self._order = order

    def add(self, name: str, make: Callable[[], Any] = lambda: doubled) -> Deferred:
        def made() -> Any:
            self._order.append(name)
            return make()

        self.names[name] = one = Deferred(made, self.names)
        return one


def test_all_that_stand_in_a_module_are_made_once_and_take_their_names() -> None:
    order: list[str] = []
    module = Module(order)
    called, other = module.add("called"), module.add("other")
    module.names["alias"] = called
    assert not order
    assert called(3) == called(3) == other(3) == 6
    assert sorted(order) == ["called", "other"]
    assert module.names == {"called": doubled, "other": doubled, "alias": doubled}


def test_what_a_module_imports_is_made_before_and_takes_its_name_there_too() -> None:
    order: list[str] = []
    below, above = Module(order), Module(order)
    above.names["below"] = below.add("below")
    assert above.add("above")(2) == 4
    assert order == ["below", "above"]
    assert above.names["below"] is below.names["below"] is doubled


def test_who_took_it_out_of_its_module_calls_it_still() -> None:
    module = Module([])
    one = module.add("one")
    module.names["one"] = None
    assert one(2) == 4


def test_no_thread_calls_what_is_not_made_with_all_that_it_uses() -> None:
    making, go_on = threading.Event(), threading.Event()

    def slowly() -> Any:
        making.set()
        assert go_on.wait(20)
        return doubled

    module = Module([])
    first, second = module.add("first"), module.add("second", slowly)
    with ThreadPoolExecutor(2) as threads:
        calls = [threads.submit(first, 1)]
        assert making.wait(20)
        calls.append(threads.submit(second, 1))
        assert module.names["first"] is first, "none takes its name before all are made"
        go_on.set()
        assert [call.result(20) for call in calls] == [2, 2]


def test_it_is_called_as_the_function_is() -> None:
    kernel = njit()(doubled)
    assert kernel.__name__ == "doubled"
    assert kernel(4) == 8
