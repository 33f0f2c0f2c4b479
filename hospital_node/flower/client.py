"""Flower's HTTP client, held to what a relay may answer.

* An answer is short: a model comes in pieces. A longer one is left at the limit, and so is one that
  would grow when it is unpacked.
* No redirection is followed: a node calls the address that was enrolled, and no other.
"""

from collections.abc import Iterator

import httpx
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor

from schemas.names import Address

MAX_ANSWER_BYTES = 8 * 2**20
"""Flower sends arrays in chunks of 5 MiB; the rest is for what stands around one."""


def fleet_client(
    address: Address, *, authorities: str, key: EllipticCurvePrivateKey
) -> FleetHttpClient:
    """Make the client of one node; its calls raise httpx.TransportError for answers too long."""
    client = FleetHttpClient.from_server_address(
        address,
        insecure=False,
        root_certificates=authorities.encode(),
        interceptors=[NodeAuthHttpInterceptor(key, key.public_key())],
    )
    http = client._client  # noqa: SLF001 - Flower has no option for any of these
    http.follow_redirects = False
    http.headers["accept-encoding"] = "identity"
    http.event_hooks = {"response": [_bounded]}
    return client


def _bounded(response: httpx.Response) -> None:
    """Bound an answer whose body has not been read yet."""
    if response.headers.get("content-encoding", "identity") != "identity":
        message = "the answer is packed"
        raise httpx.RemoteProtocolError(message, request=response.request)
    if isinstance(response.stream, httpx.SyncByteStream):
        response.stream = _Bounded(response.stream)


class _Bounded(httpx.SyncByteStream):
    """A body that raises where it grows too long."""

    def __init__(self, body: httpx.SyncByteStream) -> None:
        self._body = body

    def __iter__(self) -> Iterator[bytes]:
        left = MAX_ANSWER_BYTES
        for part in self._body:
            left -= len(part)
            if left < 0:
                message = "the answer is too long"
                raise httpx.RemoteProtocolError(message)
            yield part

    def close(self) -> None:
        self._body.close()
