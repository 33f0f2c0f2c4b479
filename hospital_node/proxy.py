"""Which proxy stands between this node and the network, as the environment names it."""

import ssl
import urllib.request

import httpx

from schemas.errors import InputRefused

_VARIABLES = ("https", "all", "http")
"""Of `HTTPS_PROXY` and so on, the first that is set counts for HTTPS; all have to be usable."""


def proxy_to(host: str) -> str | None:
    """Return the proxy to a host, without what a person may have put before the `@`.

    Raises:
        InputRefused: the environment names a proxy that no call can go through.
    """
    refuse_unusable()
    found = urllib.request.getproxies()
    named = found.get("https") or found.get("all")
    if not named or urllib.request.proxy_bypass(host):
        return None
    return named.rpartition("@")[2].rpartition("//")[2]


def refuse_unusable() -> None:
    """Refuse an environment under which no call could be made.

    Raises:
        InputRefused: a proxy of another kind than HTTP is named, or what is named is no address.
    """
    try:
        httpx.Client(verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)).close()
    except (ImportError, ValueError, httpx.InvalidURL):
        found = urllib.request.getproxies()
        names = ", ".join(f"{one.upper()}_PROXY" for one in _VARIABLES if one in found)
        message = (
            f"proxy refused: {names or 'NO_PROXY'} cannot be used, http://HOST:PORT is allowed"
        )
        step = "name an HTTP proxy there, or unset it; SOCKS is not spoken here"
        raise InputRefused(message, next_step=step) from None
