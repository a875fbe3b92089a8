import httpx

from api.app import create_app
from api.server import make_server
from api.settings import ApiSettings


def test_an_idle_connection_is_given_up_by_clients_first() -> None:
    settings = ApiSettings(kafka="127.0.0.1:1")
    by_a_proxy_s, by_a_client_s = 60, httpx.Limits().keepalive_expiry
    assert make_server(create_app(settings), settings).config.timeout_keep_alive > max(by_a_proxy_s, by_a_client_s or 0)
