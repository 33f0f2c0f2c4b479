"""The import rules of the design, the shape of the repository, and what no file may call."""

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("aggregator", "deployment", "hospital_node", "schemas")
TOP_LEVEL = {
    ".ci",
    ".editorconfig",
    ".gitignore",
    "LICENSE",
    "Makefile",
    "README.md",
    "aggregator",
    "constraints.txt",
    "deployment",
    "docs",
    "hospital_node",
    "pyproject.toml",
    "schemas",
    "tests",
}

LINT = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports({options}))"
IMPORT_EVERYTHING = """
import importlib, pkgutil, sys

package = importlib.import_module(sys.argv[1])
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    if not module.name.endswith(".__main__"):
        importlib.import_module(module.name)
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


def run(*command: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 (every command is written in this file)
        command, cwd=folder, capture_output=True, text=True, check=False
    )


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    script = LINT.format(options="no_logo=True, cache_dir=None, no_cache=True")
    return run(sys.executable, "-c", script, folder=folder)


def test_the_import_rules_hold() -> None:
    result = lint(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


BREACHES = {
    "schemas use a side": (
        "schemas/a.py",
        "import hospital_node",
        "schemas import neither side, no torch and no Flower",
    ),
    "schemas use torch": (
        "schemas/a.py",
        "from torch import nn",
        "schemas import neither side, no torch and no Flower",
    ),
    "a hospital imports the aggregator": (
        "hospital_node/a.py",
        "from aggregator import cli",
        "hospital_node and aggregator never import each other",
    ),
    "the aggregator imports a hospital inside a function": (
        "aggregator/a.py",
        "def f() -> None:\n    import hospital_node.cli",
        "hospital_node and aggregator never import each other",
    ),
    "the aggregator loads a model class": (
        "aggregator/gates/a.py",
        "import monai.networks",
        "aggregator never holds a model class or an image",
    ),
    "the aggregator reads an image": (
        "aggregator/a.py",
        "import pydicom",
        "aggregator never holds a model class or an image",
    ),
    "the aggregator computes on ciphertexts": (
        "aggregator/protection/a.py",
        "import tenseal",
        "aggregator never holds a model class or an image",
    ),
    "Flower beside its folder": (
        "hospital_node/flowers.py",
        "import flwr",
        "flwr only in the flower/ folders and in deployment/embedded",
    ),
    "Flower in a command": (
        "deployment/cli/a.py",
        "from flwr.app import Message",
        "flwr only in the flower/ folders and in deployment/embedded",
    ),
    "a side imports what holds both": (
        "aggregator/a.py",
        "import deployment",
        "nothing imports deployment or tests",
    ),
    "a command imports the tests": (
        "deployment/cli/a.py",
        "from tests import conftest",
        "nothing imports deployment or tests",
    ),
}


@pytest.mark.parametrize(("file", "text", "rule"), BREACHES.values(), ids=BREACHES)
def test_each_import_rule_notices_its_breach(
    tmp_path: Path, file: str, text: str, rule: str
) -> None:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    write_packages(tmp_path)
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).with_name("__init__.py").touch()
    (tmp_path / file).write_text(text + "\n")

    result = lint(tmp_path)

    assert result.returncode == 1, result.stdout + result.stderr
    assert f"{rule} BROKEN" in result.stdout


def test_flower_is_allowed_at_the_edge_and_its_folders_are_used_from_inside(tmp_path: Path) -> None:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    write_packages(tmp_path)
    for folder in ("aggregator/flower", "deployment/embedded", "hospital_node/flower"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "__init__.py").write_text("import flwr\n")
        (tmp_path / folder / "app.py").write_text("from flwr.app import Message\n")
    (tmp_path / "aggregator/cli/serve.py").write_text("import aggregator.flower.app\n")

    result = lint(tmp_path)

    assert result.returncode == 0, result.stdout + result.stderr


def write_packages(folder: Path) -> None:
    for package in PACKAGES:
        (folder / package / "cli").mkdir(parents=True)
        (folder / package / "__init__.py").touch()
        (folder / package / "cli" / "__init__.py").touch()


@pytest.mark.parametrize(
    ("package", "unwanted"),
    [
        ("aggregator", {"hospital_node", "monai", "opacus", "pydicom", "torch"}),
        ("schemas", {"aggregator", "flwr", "hospital_node", "monai", "opacus", "pydicom", "torch"}),
    ],
)
def test_importing_every_module_loads_nothing_unwanted(package: str, unwanted: set[str]) -> None:
    result = run(sys.executable, "-c", IMPORT_EVERYTHING, package)

    assert result.returncode == 0, result.stderr
    loaded = set(result.stdout.split())
    assert package in loaded
    assert loaded & unwanted == set()


def test_the_top_level_holds_only_what_the_design_names() -> None:
    git = shutil.which("git")
    if git is None:
        pytest.skip("git is not installed")
    result = run(git, "ls-files")
    if result.returncode != 0:
        pytest.skip("not a git checkout")
    tracked = {line.partition("/")[0] for line in result.stdout.splitlines()}

    assert tracked - TOP_LEVEL == set()


UNPICKLERS = {"cPickle", "cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve"}
FORBIDDEN_CALLS = {"eval", "exec", "torch.load", "torch.save", "yaml.load", "yaml.unsafe_load"}


WRITTEN = {"hospital_node/bundle.py torch.save"}
"""The weights of a bundle, which MONAI reads in this form alone: written, never read here."""


def test_no_file_unpickles_or_evaluates() -> None:
    files = [path for name in (*PACKAGES, "tests") for path in (ROOT / name).rglob("*.py")]
    found = [
        f"{path.relative_to(ROOT)}:{line} {name}"
        for path in sorted(files)
        for line, name in unsafe_names(path.read_text(encoding="utf-8"))
        if f"{path.relative_to(ROOT)} {name}" not in WRITTEN
    ]
    assert found == []


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import pickle", ["pickle"]),
        ("from pickle import loads", ["pickle"]),
        ("import cloudpickle as quiet", ["cloudpickle"]),
        ("eval('1')", ["eval"]),
        ("builtins.exec(text)", ["exec"]),
        ("import torch as t\nt.load(path)", ["torch.load"]),
        ("from torch import load", ["torch.load"]),
        ("yaml.load(text)", ["yaml.load"]),
        ("numpy.load(path, allow_pickle=True)", ["allow_pickle"]),
        ("model.eval()\nsafetensors.numpy.load(data)\nyaml.safe_load(text)", []),
    ],
)
def test_an_unsafe_name_is_found_however_it_is_written(source: str, expected: list[str]) -> None:
    assert [name for _, name in unsafe_names(source)] == expected


def unsafe_names(source: str) -> Iterator[tuple[int, str]]:
    """Yield the line and name of every import or call that could run what a file or peer sent."""
    tree = ast.parse(source)
    aliases = {
        alias.asname: alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
        if alias.asname
    }
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                imported = [alias.name for alias in names]
            case ast.ImportFrom(module=str(module), names=names):
                imported = [module, *(f"{module}.{alias.name}" for alias in names)]
            case ast.Call(func=func, keywords=keywords):
                name = ast.unparse(func).removeprefix("builtins.")
                first, dot, rest = name.partition(".")
                called = aliases.get(first, first) + dot + rest
                if called in FORBIDDEN_CALLS:
                    yield node.lineno, called
                if any(keyword.arg == "allow_pickle" for keyword in keywords):
                    yield node.lineno, "allow_pickle"
                continue
            case _:
                continue
        for name in imported:
            if name in UNPICKLERS | FORBIDDEN_CALLS:
                yield node.lineno, name
