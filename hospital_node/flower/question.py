"""Whether the relay lets this node in: a question that changes nothing there."""

from contextlib import closing

import httpx
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from flwr.proto.fleet_pb2 import ActivateNodeRequest
from flwr.supercore.primitives.asymmetric import public_key_to_bytes

from hospital_node.enrolment import Line
from hospital_node.flower.client import fleet_client
from hospital_node.flower.turned_away import turned_away
from schemas.errors import EnvelopeRefused


def refuse_unknown(line: Line, key: EllipticCurvePrivateKey) -> None:
    """Ask the relay whether it would let this key in; a node that serves beside this goes on.

    Raises:
        EnvelopeRefused: it would not, or gives no answer to this.
    """
    # A node that would stay gives an interval; none says that it only asks.
    request = ActivateNodeRequest(public_key=public_key_to_bytes(key.public_key()))
    client = fleet_client(line.address, authorities=line.authorities, key=key)
    with closing(client):
        try:
            client.ActivateNode(request)
        except httpx.HTTPStatusError as error:
            if httpx.codes.is_client_error(error.response.status_code):
                raise turned_away(error.response) from error
            raise _silent(f"HTTP {error.response.status_code}") from error
        except (httpx.HTTPError, ValueError) as error:
            raise _silent(type(error).__name__) from error


def _silent(found: str) -> EnvelopeRefused:
    message = f"question refused: the relay does not say whether this node is let in ({found})"
    return EnvelopeRefused(message, next_step="ask the aggregator whether it serves")
