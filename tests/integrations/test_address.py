"""Who asks."""

from __future__ import annotations

from typing import Any

import pytest

from aioredis_patterns.integrations.asgi import ClientAddress


def scope(peer: str | None, *forwarded: str) -> dict[str, Any]:
    fields = [(b"x-forwarded-for", field.encode()) for field in forwarded]
    return {"client": peer and (peer, 4711), "headers": [(b"host", b"example.com"), *fields]}


@pytest.mark.parametrize(
    ("proxies", "peer", "forwarded", "client"),
    [
        ([], "203.0.113.7", ["6.6.6.6"], "203.0.113.7"),
        (["10.0.0.0/8"], "203.0.113.7", ["6.6.6.6"], "203.0.113.7"),
        (["10.0.0.0/8"], "10.0.0.1", [], "10.0.0.1"),
        (["10.0.0.0/8"], "10.0.0.1", ["203.0.113.7"], "203.0.113.7"),
        (["10.0.0.0/8"], "10.0.0.1", ["6.6.6.6, 203.0.113.7"], "203.0.113.7"),
        (["10.0.0.0/8"], "10.0.0.1", ["6.6.6.6,203.0.113.7", "10.1.1.1 , 10.2.2.2"], "203.0.113.7"),
        (["10.0.0.0/8"], "10.0.0.1", ["10.3.3.3, 10.1.1.1"], "10.3.3.3"),
        (["10.0.0.0/8"], "10.0.0.1", ["203.0.113.7, nonsense, 10.1.1.1"], "10.1.1.1"),
        (["10.0.0.0/8"], "10.0.0.1", ["203.0.113.7:4711"], "203.0.113.7"),
        (["10.0.0.0/8", "2001:db8:ffff::/48"], "2001:db8:ffff::1", ["[2001:db8::1]:443"], "2001:db8::/64"),
        (["10.0.0.0/8"], "::ffff:10.0.0.1", ["::ffff:203.0.113.7"], "203.0.113.7"),
        (["10.0.0.1"], None, ["203.0.113.7"], "203.0.113.7"),
        ([], None, ["203.0.113.7"], "unknown"),
        ([], "testclient", [], "testclient"),
        ([], "2001:db8:1:2:3:4:5:6", [], "2001:db8:1:2::/64"),
        ([], "fe80::1%eth0", [], "fe80::/64"),
    ],
)
def test_the_client_is_the_first_that_is_no_proxy(
    proxies: list[str], peer: str | None, forwarded: list[str], client: str
) -> None:
    """From the connection on to the left, the first address that is not a trusted proxy's is the client's."""
    assert ClientAddress(proxies)(scope(peer, *forwarded)) == client


def test_the_network_of_a_client_may_be_larger() -> None:
    """Who gives out /48 networks can count them as one client each."""
    assert ClientAddress(ipv6_prefix=48)(scope("2001:db8:1:2::3")) == "2001:db8:1::/48"


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"trusted_proxies": ["10.0.0.0/99"]}, ValueError),
        ({"trusted_proxies": "10.0.0.0/8"}, TypeError),
        ({"ipv6_prefix": 0}, ValueError),
        ({"ipv6_prefix": 129}, ValueError),
    ],
)
def test_what_names_no_network_is_refused(options: dict[str, Any], error: type[Exception]) -> None:
    """A mistake in the configuration shows when it is made, not in who is trusted."""
    with pytest.raises(error):
        ClientAddress(**options)
