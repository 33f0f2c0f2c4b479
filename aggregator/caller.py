"""Under which address a call counts.

* It is the address at the other end of the connection: what a header says is not believed.
* A reverse proxy that the operator named is believed, when it says one address and nothing else.
* What comes of it is a plain address and short, whatever was sent.
"""

from collections.abc import MutableMapping
from ipaddress import IPv6Network, ip_address
from typing import Any, TypeAlias

UNKNOWN = "unknown"
"""In the place of what is no address."""

_HEADER = b"x-forwarded-for"
_LONGEST = 45
"""Characters of an IPv6 address in its longest spelling."""
_SITE_BITS = 64
"""One customer of a network has at least this many bits of IPv6 addresses: they count as one."""

_Scope: TypeAlias = MutableMapping[str, Any]


def plain(address: str) -> str:
    """Return an address as it is counted; `UNKNOWN` for anything else."""
    try:
        found = ip_address(address[: _LONGEST + 1])
    except ValueError:
        return UNKNOWN
    if found.version == 4:  # noqa: PLR2004 - IPv4
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(IPv6Network((int(found), _SITE_BITS), strict=False))


def caller(scope: _Scope, *, proxy: str | None) -> str:
    """Return the address that a call counts under; `proxy` is one that may name another."""
    peer = plain(str((scope.get("client") or ("",))[0]))
    if proxy is None or peer != proxy:
        return peer
    said = [value for name, value in scope["headers"] if name == _HEADER]
    found = plain(said[0].decode("latin-1").strip()) if len(said) == 1 else UNKNOWN
    return peer if found == UNKNOWN else found
