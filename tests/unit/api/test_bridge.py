import asyncio
import threading

import pytest

from api.bridge import SLICE_RECORDS, on_loop
from connectors.received import Received

RECORDS = [Received("t", 0, offset, 0, None, None, []) for offset in range(2 * SLICE_RECORDS + 1)]


def test_records_arrive_on_the_loop_in_order_and_in_slices() -> None:
    seen: list[tuple[int, list[int]]] = []

    async def main() -> None:
        def handle(records: object) -> None:
            assert isinstance(records, list)
            seen.append((threading.get_ident(), [record.offset for record in records]))

        await asyncio.to_thread(on_loop(asyncio.get_running_loop(), handle), RECORDS)
        assert {thread for thread, _ in seen} == {threading.get_ident()}

    asyncio.run(main())
    assert [offset for _, offsets in seen for offset in offsets] == [record.offset for record in RECORDS]
    assert max(len(offsets) for _, offsets in seen) == SLICE_RECORDS


def test_an_error_is_raised_in_the_calling_thread() -> None:
    def handle(_: object) -> None:
        message = "broken"
        raise ValueError(message)

    async def main() -> None:
        with pytest.raises(ValueError, match="broken"):
            await asyncio.to_thread(on_loop(asyncio.get_running_loop(), handle), RECORDS)

    asyncio.run(main())
