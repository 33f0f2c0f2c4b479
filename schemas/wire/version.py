"""The version of the messages between node and aggregator, and what both must agree on.

* `MAJOR.MINOR`, raised with every change of a message that a released version sends. Both sides
  must have the same; there is no range that would have to be proved compatible.
* It stands in the two records around every exchange, `Recipient` and `SealedReply`, each signed by
  its sender. They are read before anything else, and keep their fields as long as MAJOR stays: so
  each side can tell the other's version from damage, and name both.
"""

from typing import Annotated, TypeAlias

from pydantic import StringConstraints

from schemas.errors import OtherMessages

MessagesVersion: TypeAlias = Annotated[
    str, StringConstraints(pattern=r"^(0|[1-9][0-9]{0,3})\.(0|[1-9][0-9]{0,3})$")
]

MESSAGES_VERSION: MessagesVersion = "1.0"
"""What this software speaks; its form is held in tests/vectors/messages-1.0.json."""


def hold_version(found: MessagesVersion, *, of: str, here: str) -> None:
    """Hold the other side's version against this one's; `of` and `here` name both for people.

    Raises:
        OtherMessages: they differ.
    """
    if found == MESSAGES_VERSION:
        return
    message = (
        f"message refused: {of} speaks version {found} of the messages, "
        f"{here} speaks {MESSAGES_VERSION}; both must speak the same"
    )
    raise OtherMessages(
        message,
        next_step=f"install here the version that speaks {found}, or there one that speaks "
        f"{MESSAGES_VERSION}: docs/reference/messages.md",
    )
