import io
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC

import pytest
from websockets.datastructures import Headers
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

from api.socket_messages import CLOSE_SLOW, AnomalyEvent, ErrorCode, SocketError, Subscribed
from api.tail import MAX_LINE, Interrupts, Line, run_tail, socket_url
from connectors.anomaly import Notice, Peak, Severity
from flows.sentence import duration
from tests.anomalies import closed, make_anomaly

plain = Line(colour=False, zone=UTC)


def test_a_line_tells_when_how_bad_and_on_what() -> None:
    assert plain(make_anomaly(1, 75)) == (
        "2023-11-14 22:15:35  warning   updated   1m15s  surprise  11.5  CPU busy                  "
        'up{job="shop"} is 8.04 times its expected 12.2.'
    )


def test_of_an_episode_that_is_over_a_line_tells_the_peak() -> None:
    peak = Peak(time_ms=1_700_000_061_000, value=900.0, surprise=287.4)
    last = make_anomaly(1, 75, peak=peak, surprise=8.1)
    assert "  surprise   8.1  CPU busy  " in plain(last)
    assert "  closed    1m15s  peak     287.4  CPU busy  " in plain(closed(last))


@pytest.mark.parametrize("notice", Notice)
def test_what_people_are_to_be_notified_of_is_told_apart_from_other_updates(notice: Notice) -> None:
    assert f"  {notice:<7}  " in plain(make_anomaly(1, 75, notice=notice))


def test_lines_are_aligned() -> None:
    critical = make_anomaly(2, 4000, severity=Severity.CRITICAL, value=1.0)
    events = [make_anomaly(1), make_anomaly(1, 75, notice=Notice.ONGOING), critical, closed(make_anomaly(3, 70))]
    assert len({plain(event).index("up{") for event in events}) == 1


@pytest.mark.parametrize(("seconds", "text"), [(0, " 0s "), (59, " 59s "), (60, " 1m00s "), (3_660, " 1h01m ")])
def test_durations(seconds: int, text: str) -> None:
    assert text in plain(make_anomaly(1, seconds))


def test_a_duration_is_rounded_as_in_the_sentence() -> None:
    line = plain(make_anomaly(1, duration_ms=92_998, sentence=f"up for {duration(92_998)}."))
    assert ("  1m33s  " in line, line.endswith("up for 1 min 33 s.")) == (True, True)


def test_a_label_cannot_steer_the_terminal() -> None:
    line = plain(make_anomaly(sentence='{a="\x1b[2J\r\n\u202e"} is up.'))
    assert line.isprintable()
    assert "\\x1b[2J" in line


@pytest.mark.parametrize("sentence", ["x" * 60_000, "\x1b" * 900, 'up{a="' + "\U000e0001" * 400 + '"} is up.'])
def test_a_label_cannot_flood_the_terminal(sentence: str) -> None:
    line = plain(make_anomaly(sentence=sentence))
    assert len(line) == MAX_LINE
    assert line.startswith(plain(make_anomaly(sentence=sentence[:5]))[:-1])
    assert line.endswith("…")
    assert line.isprintable()


def test_a_line_that_fits_is_whole() -> None:
    rest = MAX_LINE - len(plain(make_anomaly(sentence="")))
    assert plain(make_anomaly(sentence="x" * rest)).endswith("xxx")
    assert plain(make_anomaly(sentence="x" * (rest + 1))).endswith("xx…")


def test_colour_wraps_the_whole_line() -> None:
    event = make_anomaly(severity=Severity.CRITICAL)
    assert Line(colour=True, zone=UTC)(event) == f"\x1b[1;31m{plain(event)}\x1b[0m"


@pytest.mark.parametrize(
    "url", ["http://h:1", "h:1", "http://h:1/", "ws://h:1", "ws://h:1/api/ws", "http://h:1/api/ws"]
)
def test_every_way_to_write_the_address(url: str) -> None:
    assert socket_url(url) == "ws://h:1/api/ws"


def test_tls_and_a_path_in_front_are_kept() -> None:
    assert socket_url("https://h/tocsin/") == "wss://h/tocsin/api/ws"


class ClosingAfter(io.StringIO):
    """A terminal whose reader goes away after some lines, as ``tocsin tail | head -n 2`` does."""

    def __init__(self, lines: int) -> None:
        super().__init__()
        self._left = lines

    def write(self, text: str) -> int:
        if self._left == 0:
            raise BrokenPipeError
        self._left -= 1
        return super().write(text)


@contextmanager
def server(handle: Callable[[ServerConnection], None], **options: object) -> Iterator[str]:
    with serve(handle, "127.0.0.1", 0, **options) as running:  # type: ignore[arg-type]
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{running.socket.getsockname()[1]}"
        finally:
            running.shutdown()
            thread.join()


def subscribed(socket: ServerConnection, since: str | None = None) -> None:
    wanted = {"type": "subscribe", "topics": ["anomalies"], "since": since}
    assert json.loads(socket.recv()) == {key: value for key, value in wanted.items() if value is not None}
    socket.send(Subscribed(topics=[]).model_dump_json())


def sent(number: int = 1) -> str:
    return AnomalyEvent(cursor=f"00000000-{number}", data=make_anomaly(number)).model_dump_json()


def test_it_connects_again_until_its_reader_goes_away(capsys: pytest.CaptureFixture[str]) -> None:
    numbers = iter(range(100))

    def one_event_a_connection(socket: ServerConnection) -> None:
        number = next(numbers)
        if number == 0:
            socket.recv()
            socket.send(SocketError(code=ErrorCode.NOT_READY, detail="still reading").model_dump_json())
            return
        subscribed(socket, f"00000000-{number - 1}" if number > 1 else None)
        socket.send(sent(number))
        socket.close(CLOSE_SLOW if number == 1 else 1012)

    out = ClosingAfter(2)
    with server(one_event_a_connection) as url:
        assert run_tail(url, as_json=True, out=out) == 0
    assert [json.loads(line) for line in out.getvalue().splitlines()] == [
        json.loads(make_anomaly(number).encode()) for number in (1, 2)
    ]
    notes = capsys.readouterr().err
    assert "still reading; again in 0.2 s" in notes
    assert "this terminal was too slow" in notes
    assert "connection lost" in notes


def test_it_goes_on_without_what_is_not_kept_any_more(capsys: pytest.CaptureFixture[str]) -> None:
    numbers = iter(range(100))

    def forgetful(socket: ServerConnection) -> None:
        number = next(numbers)
        if number == 1:
            assert json.loads(socket.recv())["since"] == "00000000-0"
            socket.send(SocketError(code=ErrorCode.CURSOR_GONE, detail="gone").model_dump_json())
            return
        subscribed(socket)
        socket.send(sent(number))

    out = ClosingAfter(1)
    with server(forgetful) as url:
        assert run_tail(url, as_json=True, out=out) == 0
    assert [json.loads(line)["id"] for line in out.getvalue().splitlines()] == [make_anomaly(0).id]
    assert "events were missed that the api does not keep any more" in capsys.readouterr().err


def test_lines_for_people() -> None:
    def some_events(socket: ServerConnection) -> None:
        subscribed(socket)
        for number in range(3):
            socket.send(sent(number))

    out = ClosingAfter(2)
    with server(some_events) as url:
        assert run_tail(url, as_json=False, out=out) == 0
    assert out.getvalue().splitlines() == [Line(colour=False)(make_anomaly(number)) for number in (0, 1)]


def test_an_address_that_is_no_tocsin_api_ends_it(capsys: pytest.CaptureFixture[str]) -> None:
    def refuse(_: ServerConnection, __: Request) -> Response:
        return Response(404, "Not Found", Headers(), b"")

    with server(lambda _: None, process_request=refuse) as url:
        assert run_tail(url, as_json=True, out=io.StringIO()) == 1
    assert "answered 404" in capsys.readouterr().err


@pytest.mark.parametrize(
    "url", ["ftp://127.0.0.1", "http://127.0.0.1:99999", "http://[::1", "http://h:port", "http://"]
)
def test_what_is_no_address_ends_it(capsys: pytest.CaptureFixture[str], url: str) -> None:
    assert run_tail(url, as_json=True, out=io.StringIO()) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("tocsin tail: ")


@pytest.mark.parametrize("text", ['{"type": "weather"}', "no json", '{"type":"error","code":"bad_json","detail":"d"}'])
def test_a_server_that_speaks_otherwise_ends_it(text: str) -> None:
    with server(lambda socket: socket.send(text)) as url:
        assert run_tail(url, as_json=True, out=io.StringIO()) == 1


def test_a_server_in_trouble_is_tried_again(capsys: pytest.CaptureFixture[str]) -> None:
    answers = iter([Response(503, "Unavailable", Headers(), b""), None])

    def handle(socket: ServerConnection) -> None:
        subscribed(socket)
        socket.send(sent())

    with server(handle, process_request=lambda _, __: next(answers)) as url:
        assert run_tail(url, as_json=True, out=ClosingAfter(0)) == 0
    assert "answered 503; again in 0.2 s" in capsys.readouterr().err


def test_an_interrupt_that_python_drops_is_not_forgotten() -> None:
    """As one that strikes in a destructor, whose exceptions are ignored."""
    interrupts = Interrupts()
    interrupts.check()
    with suppress(KeyboardInterrupt):
        interrupts.ask()
    with pytest.raises(KeyboardInterrupt):
        interrupts.check()
