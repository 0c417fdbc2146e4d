"""The project's own files agree with each other, and imports point one way (design.md)."""

import ast
import tomllib
from pathlib import Path

import pytest
import yaml

PROJECT = Path(__file__).parents[1]
PACKAGE = PROJECT / "archrep"

ALLOWED = {
    "graph": set(),
    "space": {"graph"},
    "ghn": {"graph"},
    "data": {"space"},
    "train": {"ghn", "space", "data", "graph"},
    "measure": {"space", "data", "graph"},
    "probe": {"ghn", "space", "graph", "data", "train"},
    "plot": {"probe", "data", "graph"},
}
BASE = {
    "compiled",
    "errors",
    "files",
    "frames",
    "journal",
    "parquet",
    "parquet_pages",
    "seeding",
    "torch_files",
    "workers",
}


def test_environment_yml_is_pyproject():
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    wanted = set(project["dependencies"]) | set(project["optional-dependencies"]["notebooks"])
    environment = yaml.safe_load((PROJECT / "environment.yml").read_text())
    pip = next(d["pip"] for d in environment["dependencies"] if isinstance(d, dict))
    assert {line for line in pip if not line.startswith("--")} == wanted
    assert "--constraint constraints.txt" in pip


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("archrep"):
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.startswith("archrep"))


@pytest.mark.parametrize("layer", list(ALLOWED))
def test_imports_point_one_way(layer):
    for path in (PACKAGE / layer).rglob("*.py"):
        for module in imports(path):
            part = module.split(".")[1] if "." in module else ""
            assert part in ALLOWED[layer] | BASE | {layer}, f"{path.relative_to(PROJECT)} imports {module}"


def test_files_stay_short():
    for path in PACKAGE.rglob("*.py"):
        assert len(path.read_text().splitlines()) <= 400, path.name


def test_version_is_in_the_changelog():
    version = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"]
    assert f"## {version}" in (PROJECT / "CHANGELOG.md").read_text()
