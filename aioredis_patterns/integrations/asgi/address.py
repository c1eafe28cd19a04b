"""ClientAddress: who asks, when what a client says of itself is not to be trusted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, final

__all__ = ("ClientAddress",)

_UNKNOWN = "unknown"


@final
class ClientAddress:
    """The address of a client, as one word to limit it by.

    The promise. Without trusted proxies it is the address that the connection comes from, whatever the request says.
    With them, `X-Forwarded-For` is read from its right end: each proxy has appended the address it was called from, so
    the first one that is not a proxy of yours is the client, and what stands left of it was made up by anybody.

    IPv6 clients are counted by their network, as every customer has 2^64 addresses in it.

    The limit of the promise. A server that reads the field itself has replaced the connection's address already, as
    uvicorn does with `--forwarded-allow-ips`; then name the proxies there or here. Over a Unix socket there is no
    address: whoever connects is a proxy if any is trusted, and otherwise all are one client, `unknown`.

    Args:
        trusted_proxies: Their networks, such as "10.0.0.0/8", or single addresses.
        ipv6_prefix: The bits of an IPv6 address that tell one client from another.

    Raises:
        ValueError: No network, or no length of a prefix.

    Example:
        >>> address = ClientAddress(["10.0.0.0/8"])
        >>> forwarded = [(b"x-forwarded-for", b"6.6.6.6, 203.0.113.7, 10.0.0.2")]
        >>> address({"client": ("10.0.0.1", 4711), "headers": forwarded})
        '203.0.113.7'
        >>> address({"client": ("198.51.100.9", 4711), "headers": forwarded})
        '198.51.100.9'
    """

    __slots__ = ("_ipv6_prefix", "_proxies")

    def __init__(self, trusted_proxies: Sequence[str] = (), *, ipv6_prefix: int = 64) -> None:
        if isinstance(trusted_proxies, str):
            raise TypeError(f"trusted_proxies must be a list of networks, not the one text {trusted_proxies!r:.80}")
        if not 0 < ipv6_prefix <= 128:
            raise ValueError(f"ipv6_prefix must be 1 to 128 bits, not {ipv6_prefix!r}")
        self._proxies = [ip_network(proxy) for proxy in trusted_proxies]
        self._ipv6_prefix = ipv6_prefix

    def __call__(self, scope: Mapping[str, Any]) -> str:
        """Read a connection's scope.

        >>> ClientAddress()({"client": ("2001:db8:1:2:3:4:5:6", 443)})
        '2001:db8:1:2::/64'
        """
        peer = (scope.get("client") or ("",))[0]
        client = _parsed(peer)
        if not self._proxies:
            return self._word(client, peer)
        for hop in self._hops(client, scope):
            client = hop
            if not self._trusts(hop):
                break
        return self._word(client, peer)

    def _hops(self, peer: _Address | None, scope: Mapping[str, Any]) -> Iterator[_Address]:
        """The addresses from the nearest to the farthest, as far as they can be read."""
        if peer is not None:
            yield peer
        lines = [value.decode("latin-1") for name, value in scope.get("headers", ()) if name == b"x-forwarded-for"]
        for text in reversed(",".join(lines).split(",")):
            address = _parsed(text.strip())
            if address is None:
                return  # what is left of it may be anything
            yield address

    def _trusts(self, address: _Address) -> bool:
        return any(address in proxies for proxies in self._proxies)

    def _word(self, address: _Address | None, peer: str) -> str:
        if address is None:
            return peer or _UNKNOWN
        if isinstance(address, IPv6Address):
            return str(IPv6Network((int(address), self._ipv6_prefix), strict=False))
        return str(address)


_Address = IPv4Address | IPv6Address


def _parsed(text: str) -> _Address | None:
    """An address with or without a port; an IPv4 address in IPv6 clothes is what it is."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return (address.version == 6 and address.ipv4_mapped) or address
