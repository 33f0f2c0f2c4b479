"""The version of the messages changes with their form, and never otherwise."""

import pytest
from pydantic import TypeAdapter, ValidationError

from schemas.errors import OtherMessages
from schemas.wire.version import MESSAGES_VERSION, MessagesVersion, hold_version
from tests.schemas.wire.messages_form import form, stored


def test_the_messages_have_the_form_of_their_version() -> None:
    assert form() == stored().read_text(), (
        "the messages changed: if a version that speaks the former ones was released, raise "
        "MESSAGES_VERSION; then python -m tests.schemas.wire.messages_form"
    )


def test_the_same_version_passes_and_any_other_is_refused_with_both_named() -> None:
    hold_version(MESSAGES_VERSION, of="north", here="this aggregator")
    for other in ("0.9", "1.1", "2.0"):
        with pytest.raises(OtherMessages) as refused:
            hold_version(other, of="north", here="this aggregator")
        assert refused.value.message == (
            f"message refused: north speaks version {other} of the messages, "
            f"this aggregator speaks {MESSAGES_VERSION}; both must speak the same"
        )
        assert other in refused.value.next_step


@pytest.mark.parametrize("text", ["", "1", "1.0.0", "01.0", "1.01", "1.0\n", "a.b", "1.99999"])
def test_what_is_no_version_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(MessagesVersion).validate_python(text)
