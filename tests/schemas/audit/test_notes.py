"""Signed tree heads are C2SP checkpoints, taken from the expected key and origin only."""

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.audit.merkle import grown
from schemas.audit.notes import TreeHead, key_id, signed_head, verified_head
from schemas.errors import JournalDamaged
from schemas.wire.keys import SigningKey
from schemas.wire.signatures import is_signed
from tests.schemas.audit.logs import entries_of

KEY = SigningKey.generate()
ORIGIN = "site/east"
HEAD = TreeHead(ORIGIN, 7, bytes(range(32)))
NOTE = signed_head(HEAD, KEY)

NO_HEAD = "tree head refused: found no tree head of the expected origin"
NO_SIGNATURE = "tree head refused: found a tree head without a valid signature of the expected key"
TESSERA = "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx"


def refuses(note: str, message: str, *, origin: str = ORIGIN, key: SigningKey = KEY) -> None:
    with pytest.raises(JournalDamaged) as refused:
        verified_head(note, origin=origin, key=key.public)
    assert refused.value.message == message


def signed_text(text: str, *, name: str = ORIGIN, key: SigningKey = KEY) -> str:
    """A note over any text, rightly signed."""
    line = base64.b64encode(key_id(name, key.public) + key.sign(text.encode())).decode()
    return f"{text}\n\u2014 {name} {line}\n"


def key_of(vkey: str) -> tuple[str, bytes, str]:
    """Take a C2SP verifier key apart: name, key id, and an Ed25519 key (type byte 1)."""
    name, identifier, encoded = vkey.split("+", maxsplit=2)
    raw = base64.b64decode(encoded)
    assert raw[0] == 1
    return name, bytes.fromhex(identifier), base64.b64encode(raw[1:]).decode()


@given(st.integers(0, 10**18), st.binary(min_size=32, max_size=32))
def test_a_signed_head_is_read_back(size: int, root: bytes) -> None:
    head = TreeHead(ORIGIN, size, root)
    assert verified_head(signed_head(head, KEY), origin=ORIGIN, key=KEY.public) == head


def test_the_text_is_a_checkpoint() -> None:
    text, _, line = NOTE.partition("\n\n")
    assert text == "site/east\n7\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
    assert line.startswith("\u2014 site/east ")
    assert line.endswith("\n")


def test_another_key_or_origin_is_refused() -> None:
    refuses(NOTE, NO_SIGNATURE, key=SigningKey.generate())
    refuses(NOTE, NO_HEAD, origin="site/west")


def test_a_signature_in_another_name_is_refused_though_key_and_text_are_right() -> None:
    refuses(signed_text(HEAD.text(), name="site/west"), NO_SIGNATURE)


def test_signatures_of_other_keys_beside_the_expected_one_are_passed_over() -> None:
    other = SigningKey.generate()
    lines = [
        signed_text(HEAD.text(), key=other).partition("\n\n")[2],
        signed_text(HEAD.text(), name="witness", key=other).partition("\n\n")[2],
        "\u2014 unknown !!!!\n",
        NOTE.partition("\n\n")[2],
    ]
    note = f"{HEAD.text()}\n{''.join(lines)}"
    assert verified_head(note, origin=ORIGIN, key=KEY.public) == HEAD


def test_every_change_of_a_letter_in_the_text_is_refused() -> None:
    for place in range(len(HEAD.text())):
        for letter in "\n 08Az=\u2014":
            if NOTE[place] != letter:
                with pytest.raises(JournalDamaged):
                    verified_head(
                        NOTE[:place] + letter + NOTE[place + 1 :], origin=ORIGIN, key=KEY.public
                    )


def test_every_truncation_is_refused() -> None:
    for length in range(len(NOTE) - 1):
        with pytest.raises(JournalDamaged):
            verified_head(NOTE[:length], origin=ORIGIN, key=KEY.public)


ROOT = base64.b64encode(bytes(32)).decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        f"{ORIGIN}\n",
        f"{ORIGIN}\n7\n",
        f"\n7\n{ROOT}\n",
        f"{ORIGIN}\n07\n{ROOT}\n",
        f"{ORIGIN}\n+7\n{ROOT}\n",
        f"{ORIGIN}\n-7\n{ROOT}\n",
        f"{ORIGIN}\n7.0\n{ROOT}\n",
        f"{ORIGIN}\n0x7\n{ROOT}\n",
        f"{ORIGIN}\n7 \n{ROOT}\n",
        f"{ORIGIN}\n\u0667\n{ROOT}\n",
        f"{ORIGIN}\n{'9' * 5000}\n{ROOT}\n",
        f"{ORIGIN}\n\n{ROOT}\n",
        f"{ORIGIN}\n7\n{ROOT[:-4]}\n",
        f"{ORIGIN}\n7\n{ROOT[:-1]}\n",
        f"{ORIGIN}\n7\n{ROOT}AAAA\n",
        f"{ORIGIN}\n7\n{ROOT[:-1]}\u00e9\n",
    ],
)
def test_a_rightly_signed_text_that_is_no_tree_head_is_refused(text: str) -> None:
    refuses(signed_text(text), NO_HEAD)


def test_extension_lines_are_allowed_and_signed() -> None:
    text = f"{HEAD.text()}extension\n"
    assert verified_head(signed_text(text), origin=ORIGIN, key=KEY.public) == HEAD
    refuses(signed_text(text).replace("extension", "extinction"), NO_SIGNATURE)


def test_every_checkpoint_of_a_real_log_verifies_and_has_the_root_of_its_entries(
    shared_vectors: Path,
) -> None:
    folder = shared_vectors / "tessera-log" / "testdata" / "log"
    name, identifier, key = key_of(TESSERA)
    assert key_id(name, key) == identifier
    for size in range(16):
        note = (folder / f"checkpoint.{size}").read_text(encoding="utf-8")
        head = verified_head(note, origin=name, key=key)
        assert head == TreeHead(name, size, grown(entries_of(folder, size)).root())


def test_the_published_notes_have_our_key_ids_and_signatures(shared_vectors: Path) -> None:
    """They are signed notes but no tree heads: their parts are held, and the whole is refused."""
    path = shared_vectors / "signed-note-examples.json"
    examples = json.loads(path.read_text(encoding="utf-8"))
    assert examples
    for example in examples:
        name, identifier, key = key_of(example["vkey"])
        assert key_id(name, key) == identifier
        text, _, line = example["note"].partition("\n\n")
        signature = base64.b64decode(line.split(" ")[2])
        assert signature[:4] == identifier
        assert is_signed(f"{text}\n".encode(), signature[4:], key)
        with pytest.raises(JournalDamaged, match="found no tree head of the expected origin"):
            verified_head(example["note"], origin=name, key=key)


def test_a_log_whose_key_has_another_name_than_its_origin_is_not_ours() -> None:
    """Go's checksum database signs as sum.golang.org what it heads "go.sum database tree"."""
    text = HEAD.text().replace(ORIGIN, "go.sum database tree")
    note = signed_text(text, name="sum.golang.org")
    refuses(note, NO_SIGNATURE, origin="go.sum database tree")
    refuses(note, NO_HEAD, origin="sum.golang.org")
