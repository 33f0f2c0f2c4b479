"""Folders, zip archives and media: what is read, and what is refused whole."""

import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRLittleEndian, MediaStorageDirectoryStorage

from hospital_node.cohort.ingest import IngestReport, ingest
from hospital_node.cohort.sources.directory import listed_files
from hospital_node.cohort.sources.folder import FolderSource
from hospital_node.cohort.sources.spool import Spool
from schemas.errors import InputRefused, SourceEmpty
from tests.hospital_node.cohort.exports import (
    contract,
    desk,
    image,
    ingested,
    label,
    write,
    write_export,
    write_labels,
)


def fetched(path: Path, spool: Path) -> Path:
    source = FolderSource(path, path.parent / "labels.csv")
    return source.fetched(Spool(spool), progress=lambda _done, _files: None).folder


def taken(path: Path, spool: Path) -> IngestReport:
    """Fetch and ingest a path with the labels table beside it."""
    folder = fetched(path, spool)
    return ingest(folder, path.parent / "labels.csv", contract(), desk=desk(spool / "store"))


def zipped(folder: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for one in sorted(folder.rglob("*")):
            archive.write(one, one.relative_to(folder))
    return path


def test_a_folder_without_archives_is_read_where_it_is(tmp_path: Path) -> None:
    export = write_export(tmp_path / "export")
    assert fetched(export / "dicom", tmp_path / "spool") == export / "dicom"
    assert not (tmp_path / "spool").exists()


def test_a_zip_archive_gives_the_cohort_of_its_folder(tmp_path: Path) -> None:
    export = write_export(tmp_path / "export")
    plain = ingested(export, tmp_path / "plain").manifest
    archive = zipped(export / "dicom", export / "any name")
    assert taken(archive, tmp_path / "whole").manifest == plain


def test_archives_in_a_folder_are_opened_and_the_rest_is_read(tmp_path: Path) -> None:
    export = write_export(tmp_path / "export")
    plain = ingested(export, tmp_path / "plain").manifest
    for number, one in enumerate(sorted((export / "dicom").iterdir())):
        if number % 2:
            zipped(one, export / "dicom" / f"{number}.zip")
            for path in one.iterdir():
                path.unlink()
    (export / "dicom" / "link").symlink_to("nowhere")
    report = taken(export / "dicom", tmp_path / "mixed")
    assert report.manifest.rows == plain.rows
    assert [(one.code, one.files) for one in report.manifest.not_used] == [("not-a-file", 1)]


def test_the_name_of_a_member_is_never_a_path(tmp_path: Path) -> None:
    names = ("../../out", "/etc/out", "a/../../out", "C:\\out", "..\\out", "same", "x" * 4000)
    path = tmp_path / "hostile.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, name)
    folder = fetched(path, tmp_path / "deep" / "er" / "spool")
    assert sorted(one.name for one in folder.iterdir()) == [
        f"{number:08d}" for number in range(1, len(names) + 1)
    ]
    assert {one.read_text() for one in folder.iterdir()} == set(names)
    assert not list(tmp_path.rglob("*out*"))


def bomb(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", bytes(2**24))


def encrypted(path: Path) -> None:
    plain(path)
    content = bytearray(path.read_bytes())
    for magic, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(magic) + flags] |= 1
    path.write_bytes(content)


def plain(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a", "some bytes of an image, as an archive holds them")


def claimed(size: int) -> Callable[[Path], None]:
    """Say another size of the only member in both of its headers."""

    def write_lie(path: Path) -> None:
        plain(path)
        content = bytearray(path.read_bytes())
        for magic, place in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
            struct.pack_into("<I", content, content.index(magic) + place, size)
        path.write_bytes(content)

    return write_lie


def cut(path: Path) -> None:
    plain(path)
    path.write_bytes(path.read_bytes()[:-12])


def unknown_compression(path: Path) -> None:
    plain(path)
    content = bytearray(path.read_bytes())
    for magic, place in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        struct.pack_into("<H", content, content.index(magic) + place, 77)
    path.write_bytes(content)


DAMAGED = "damaged, encrypted, or of a compression that is not read"


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (bomb, "16777216 bytes in all, at most"),
        (encrypted, "it is encrypted, only a plain one is read"),
        (claimed(2**30), "1073741824 bytes in one member, at most 536870912 are allowed"),
        (claimed(60), DAMAGED),
        (claimed(20), DAMAGED),
        (cut, DAMAGED),
        (unknown_compression, DAMAGED),
    ],
)
def test_a_faulty_archive_is_refused_whole(
    tmp_path: Path, fault: Callable[[Path], None], said: str
) -> None:
    fault(tmp_path / "hostile.zip")
    with pytest.raises(InputRefused) as refused:
        fetched(tmp_path / "hostile.zip", tmp_path / "spool")
    assert refused.value.message.startswith("zip archive refused: ")
    assert said in refused.value.message
    assert sum(one.stat().st_size for one in tmp_path.glob("spool/objects/*")) < 2**20


def test_an_archive_without_files_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    with pytest.raises(SourceEmpty, match="found no file in a zip archive"):
        fetched(tmp_path / "empty.zip", tmp_path / "spool")


def medium(folder: Path) -> Path:
    """Write twelve images as a medium with its DICOMDIR, and their labels beside it."""
    for number in range(12):
        write(image(number, patient=f"P{number:03d}"), folder / "IMAGES" / f"IM{number:04d}")
    write_labels(folder / "labels.csv", [label(n, f"P{n:03d}", str(n % 2)) for n in range(12)])
    return listing(folder / "DICOMDIR", *(("IMAGES", f"IM{number:04d}") for number in range(12)))


def listing(path: Path, *identifiers: tuple[str, ...]) -> Path:
    """Write a DICOMDIR that lists these files."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = UID("1.2.3")
    dataset.DirectoryRecordSequence = Sequence(record(one) for one in identifiers)
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return path


def record(identifier: tuple[str, ...]) -> Dataset:
    dataset = Dataset()
    dataset.DirectoryRecordType = "IMAGE"
    dataset.add_new("ReferencedFileID", "LO", list(identifier))  # CS would not hold them all
    return dataset


def test_a_medium_gives_the_files_that_its_directory_lists_and_no_others(tmp_path: Path) -> None:
    directory = medium(tmp_path / "disc")
    (tmp_path / "disc" / "autorun.exe").write_bytes(b"MZ")
    report = taken(directory, tmp_path / "spool")
    assert (report.manifest.read, len(report.manifest.rows)) == (12, 12)


def test_a_medium_that_was_mounted_in_lower_case_is_read(tmp_path: Path) -> None:
    directory = medium(tmp_path / "disc")
    for path in sorted((tmp_path / "disc").rglob("*"), key=lambda one: -len(one.parts)):
        if path != directory:
            path.rename(path.with_name(path.name.lower() + (";1" if path.is_file() else "")))
    assert len(listed_files(directory)) == 12


def test_a_listed_file_that_is_not_there_is_counted(tmp_path: Path) -> None:
    directory = medium(tmp_path / "disc")
    for path in listed_files(directory)[:2]:
        path.unlink()
    with pytest.raises(InputRefused, match="2 of 12 files that it lists are not there"):
        fetched(directory, tmp_path / "spool")


@pytest.mark.parametrize(
    "identifier", [("..", "SECRET"), ("A", "..", "..", "SECRET"), ("/SECRET",), ("A/B",), (".",)]
)
def test_a_directory_cannot_name_a_file_elsewhere(
    tmp_path: Path, identifier: tuple[str, ...]
) -> None:
    (tmp_path / "SECRET").write_bytes(b"another's")
    with pytest.raises(InputRefused, match="in a way that the standard does not allow"):
        fetched(listing(tmp_path / "disc" / "DICOMDIR", identifier), tmp_path / "spool")


def test_a_directory_cannot_lead_out_over_a_link(tmp_path: Path) -> None:
    (tmp_path / "away").mkdir()
    (tmp_path / "away" / "SECRET").write_bytes(b"another's")
    directory = listing(tmp_path / "disc" / "DICOMDIR", ("A", "SECRET"))
    (tmp_path / "disc" / "A").symlink_to(tmp_path / "away")
    with pytest.raises(InputRefused, match="1 of 1 files that it lists are not there"):
        fetched(directory, tmp_path / "spool")


@pytest.mark.parametrize("content", [b"", b"MZ", bytes(128) + b"DICM" + b"\xff" * 64])
def test_a_file_of_another_kind_is_no_source(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(InputRefused, match="source refused: "):
        fetched(tmp_path / "file", tmp_path / "spool")
    with pytest.raises(InputRefused, match="source refused: "):
        fetched(tmp_path / "none", tmp_path / "spool")
