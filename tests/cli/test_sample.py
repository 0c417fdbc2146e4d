"""`archrep sample` and `archrep info`: what they print and write, and one line for every mistake."""

import json

import pytest
from typer.testing import CliRunner

import archrep
from archrep.cli.main import app
from archrep.errors import ArchrepError

SMALL = ("--space", "deepnets-small", "--split", "val")


def run(*arguments):
    """What a command prints.

    Raises:
        ArchrepError: where the command line prints that and exits with code 2.
    """
    result = CliRunner().invoke(app, list(map(str, arguments)))
    if result.exception is not None:
        raise result.exception
    return result.stdout


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stores") / "val"
    run("sample", *SMALL, "-n", 12, "--workers", 1, "--out", folder)
    return folder


def test_what_sample_prints_is_a_spec(tmp_path):
    printed = run("sample", *SMALL, "-n", 5, "--workers", 1, "--out", tmp_path / "a")
    assert printed.splitlines() == [
        "Architectures: 5 of deepnets-small:val",
        f"Written: {tmp_path / 'a'}",
        f"Spec: deepnets-small:{tmp_path / 'a'}",
    ]
    assert len(list(archrep.architectures(printed.splitlines()[-1].removeprefix("Spec: ")))) == 5
    again = json.loads(run("sample", *SMALL, "-n", 5, "--out", tmp_path / "a", "--json"))  # complete: nothing to do
    assert again["architectures"] == 5
    assert again["spec"] == f"deepnets-small:{tmp_path / 'a'}"


def test_official_format(tmp_path):
    printed = json.loads(run("sample", *SMALL, "-n", 3, "--format", "official", "--out", tmp_path, "--json"))
    assert printed["out"] == str(tmp_path / "deepnets1m_val.hdf5")
    assert printed["spec"] == f"deepnets-official:{tmp_path}:val"
    read, made = (list(archrep.architectures(s)) for s in (printed["spec"], "deepnets-small:val:0-2"))
    assert [a.graph.hash() for a in read] == [a.graph.hash() for a in made]


def test_info(store, tmp_path):
    printed = run("info", store)
    assert f"{store}: 12 architectures of deepnets-small:val" in printed
    assert "Duplicates: 0" in printed
    assert "conv_7x1_1x7" in printed
    run("sample", "--space", "deepnets-small", "--split", "wide", "-n", 4, "--workers", 1, "--out", tmp_path / "wide")
    run("sample", "--space", "deepnets-small", "--split", "test", "-n", 6, "--workers", 1, "--out", tmp_path / "test")
    folders = (store, tmp_path / "wide", tmp_path / "test")
    printed = run("info", *folders, "--out", tmp_path / "figure")
    assert f"{tmp_path / 'wide'}: 4 have the graph of one in {tmp_path / 'test'}" in printed
    assert "No graph in common: 2 of 3 pairs of folders" in printed
    assert {p.suffix for p in tmp_path.glob("figure.*")} == {".png", ".svg", ".csv"}
    read = json.loads(run("info", *folders, "--json"))
    assert [row["architectures"] for row in read["stores"]] == [12, 4, 6]
    assert [pair["shared"] for pair in read["shared"]] == [0, 0, 4]


def broken(store, folder, name, text):
    """A copy of a store with one file replaced."""
    folder.mkdir()
    for path in store.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    if text is None:
        (folder / name).unlink()
    else:
        (folder / name).write_text(text)
    return folder


DESCRIPTION = '{"format": 1, "space": "deepnets-small", "split": "val", "size": SIZE, "generator": 1}'


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("store.json", None, "not a folder that `archrep sample` wrote"),
        ("store.json", "", "store.json: JSONDecodeError"),
        ("store.json", "[1]", "store.json: TypeError"),
        ("store.json", "{}", "store.json: KeyError"),
        ("store.json", DESCRIPTION.replace("SIZE", "-3"), "size -3"),
        ("store.json", DESCRIPTION.replace("SIZE", '"12"'), "size '12'"),
        ("store.json", DESCRIPTION.replace("SIZE", "13"), "archrep.rows 12, not 13"),
        ("store.json", DESCRIPTION.replace("SIZE", "3000"), "shard-00001.arrow of 2 shards is missing"),
        ("store.json", DESCRIPTION.replace("SIZE", "12").replace('"val"', '"vall"'), "Did you mean 'val'"),
        ("store.json", DESCRIPTION.replace("SIZE", "12").replace('"val"', '["val"]'), "store.json: TypeError"),
        ("store.json", DESCRIPTION.replace("SIZE", "12").replace('"val"', '"test"'), "archrep.split val, not test"),
        ("shard-00000.arrow", "", "missing or damaged shard"),
        ("shard-00000.arrow", None, "shard-00000.arrow of 1 shards is missing"),
    ],
)
def test_damaged_stores(store, tmp_path, name, text, message):
    folder = broken(store, tmp_path / "broken", name, text)
    with pytest.raises(ArchrepError, match=message) as caught:
        run("info", folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--split", "vall"), "Did you mean 'val'"),
        (("--space", "deepnet"), "Did you mean 'deepnets"),
        (("--format", "hdf5"), "Available: arrow, official"),
        (("--format", "official", "--workers", 2), "leave --workers out"),
        (("--split", "predefined"), "Unknown split"),
    ],
)
def test_bad_options(tmp_path, arguments, message):
    with pytest.raises(ArchrepError, match=message):
        run("sample", "--out", tmp_path / "new", *arguments)
    assert not (tmp_path / "new").exists()


def test_bad_places(store, tmp_path):
    (tmp_path / "file").write_text("")
    for out, message in [
        (store, r"holds 12 architectures of deepnets-small:val .*, not 13"),
        (tmp_path, "not a folder that `archrep sample` wrote"),
        (tmp_path / "file", "is a file"),
        (tmp_path / "file" / "in", "Cannot write"),
        ("/proc/none", "Cannot write"),
    ]:
        with pytest.raises(ArchrepError, match=message) as caught:
            run("sample", *SMALL, "-n", 13, "--workers", 1, "--out", out)
        assert "\n" not in str(caught.value)
    for out in ("/proc/none", tmp_path / "file" / "in"):
        with pytest.raises(ArchrepError, match="Cannot write"):
            run("sample", *SMALL, "-n", 1, "--format", "official", "--out", out)
    with pytest.raises(ArchrepError, match="not a folder that `archrep sample` wrote"):
        run("info", tmp_path / "nowhere")
