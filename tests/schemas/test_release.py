import io
import zipfile
from typing import Any

import pytest
from pydantic import ValidationError

from schemas.errors import InvalidRecord
from schemas.release import packed, unpacked
from schemas.wire.packet import Packet
from tests.schemas.releases import release

PACKET = Packet(b"envelope", b"arrays" * 100)


def test_a_release_survives_its_file_and_equal_ones_give_equal_bytes() -> None:
    assert unpacked(packed(PACKET)) == PACKET
    assert packed(PACKET) == packed(Packet(b"envelope", b"arrays" * 100))


def archive(compression: int, **members: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", compression) as file:
        for name, part in members.items():
            file.writestr(name.replace("__", "."), part)
    return content.getvalue()


BOTH = {"release__json": b"x", "model__safetensors": b"y"}
FILES = {
    "no archive": b"something else",
    "nothing": b"",
    "cut short": packed(PACKET)[:-30],
    "compressed": archive(zipfile.ZIP_DEFLATED, **BOTH),
    "a member missing": archive(zipfile.ZIP_STORED, release__json=b"x"),
    "a member more": archive(zipfile.ZIP_STORED, **BOTH, evil__py=b"z"),
    "other members": archive(zipfile.ZIP_STORED, release__json=b"x", weights__pt=b"y"),
}


@pytest.mark.parametrize("story", FILES)
def test_another_file_is_refused(story: str) -> None:
    with pytest.raises(InvalidRecord, match="the file is not a released model as it was written"):
        unpacked(FILES[story])


DIGEST = "sha256:" + "9" * 64
PARTS: dict[str, tuple[dict[str, Any], str]] = {
    "another federation": ({"federation": "other"}, "another federation"),
    "an unmet criterion": ({"checks": ["inconclusive"]}, "a missed criterion"),
    "a rejected model": ({"verdict": {"outcome": "rejected"}}, "no accepted model"),
    "another model's verdict": ({"verdict": {"candidate": DIGEST}}, "another model"),
    "another round's verdict": ({"verdict": {"round": 2}}, "another model"),
    "another plan": ({"manifest": {"plan": DIGEST}}, "another plan"),
    "another contract": ({"manifest": {"contract": DIGEST}}, "another contract"),
}


@pytest.mark.parametrize("story", PARTS)
def test_a_release_whose_parts_do_not_belong_together_cannot_be_made(story: str) -> None:
    changes, found = PARTS[story]
    assert release().manifest.round == 1
    with pytest.raises(ValidationError, match=found):
        release(**changes)
