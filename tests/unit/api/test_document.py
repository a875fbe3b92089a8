import asyncio
import threading

from fastapi import Request, Response

from api.document import Document

TEXT = b'{"a":1}'


def request(if_none_match: str = "") -> Request:
    headers = [(b"if-none-match", if_none_match.encode())] if if_none_match else []
    return Request({"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": headers})


def test_it_is_read_once_in_a_thread_for_all_who_ask() -> None:
    readers: list[int] = []

    def read() -> bytes:
        readers.append(threading.get_ident())
        return TEXT

    async def main() -> list[Response]:
        document = Document(read, "application/json")
        return await asyncio.gather(*(document.answer(request()) for _ in range(5)))

    answers = asyncio.run(main())
    assert len(readers) == 1
    assert readers != [threading.get_ident()]
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
