"""Installed code has one name, which every change of a Python file changes."""

from pathlib import Path

from schemas.software import code_identity


def package(folder: Path, **files: str) -> Path:
    root = folder / "node"
    for name, text in files.items():
        path = root / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_the_name_is_of_the_bytes_and_the_names_of_every_python_file(tmp_path: Path) -> None:
    files = {"session": "a = 1\n", "cohort__store": "b = 2\n"}
    named = code_identity(package(tmp_path / "one", **files))
    assert code_identity(package(tmp_path / "same", **files)) == named
    others = [
        {**files, "session": "a = 2\n"},
        {**files, "more": ""},
        {"session": "a = 1\n"},
        {"session": "a = 1\n", "cohort__stores": "b = 2\n"},
        {"session": "b = 2\n", "cohort__store": "a = 1\n"},
    ]
    names = {
        code_identity(package(tmp_path / str(place), **other)) for place, other in enumerate(others)
    }
    assert len(names | {named}) == len(others) + 1


def test_what_is_no_code_does_not_change_the_name(tmp_path: Path) -> None:
    root = package(tmp_path / "one", session="a = 1\n")
    other = package(tmp_path / "two", session="a = 1\n")
    (other / "notes.txt").write_text("not code")
    assert code_identity(root) == code_identity(other)


def test_the_shared_schemas_are_part_of_the_name(tmp_path: Path) -> None:
    assert code_identity() != code_identity(package(tmp_path, session="a = 1\n"))
