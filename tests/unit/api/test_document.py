import asyncio
import threading

from fastapi import Request, Response

from api.document import Document, prepare_later

TEXT = b'{"a":1}'


def request(if_none_match: str = "") -> Request:
    headers = [(b"if-none-match", if_none_match.encode())] if if_none_match else []
    return Request({"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": headers})


def test_it_is_made_once_in_a_thread_for_all_who_ask() -> None:
    makers: list[int] = []

    def make() -> bytes:
        makers.append(threading.get_ident())
        return TEXT

    async def main() -> list[Response]:
        document = Document(make, "application/json")
        return await asyncio.gather(*(document.answer(request()) for _ in range(5)))

    answers = asyncio.run(main())
    assert len(makers) == 1
    assert makers != [threading.get_ident()]
    assert {bytes(answer.body) for answer in answers} == {TEXT}
    assert {answer.headers["content-type"] for answer in answers} == {"application/json"}
    assert len({answer.headers["etag"] for answer in answers}) == 1


def test_who_has_it_already_is_told_so() -> None:
    document = Document(lambda: TEXT, "application/json")
    etag = asyncio.run(document.answer(request())).headers["etag"]
    for known in (etag, f'"other", W/{etag}', "*"):
        answer = asyncio.run(document.answer(request(known)))
        assert (answer.status_code, answer.body, answer.headers["etag"]) == (304, b"", etag), known
    for other in ('"other"', "nonsense", etag.strip('"')):
        assert asyncio.run(document.answer(request(other))).status_code == 200, other


def test_what_nobody_asks_for_is_made_later_and_only_once() -> None:
    made: list[str] = []

    async def main() -> None:
        one, other = (Document(lambda name=name: made.append(name) or TEXT, "text/plain") for name in "ab")
        await other.answer(request())
        await prepare_later([one, other], 0.0)
        await one.answer(request())

    asyncio.run(main())
    assert made == ["b", "a"]
