"""What README and documentation say exists: commands, options, files, references."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer

import archrep
from archrep.cli.main import app

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md")])
PAGES = [page for page in PAGES if "_build" not in page.parts]
CARDS = sorted([*ROOT.glob("checkpoints/*.md"), *ROOT.glob("labels/*.md"), *ROOT.glob("benchmarks/*.md")])
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]*)(#[^)\s]*)?\)")


def commands_in(page):
    """Words of every archrep command in the page's blocks of shell commands."""
    for block in re.findall(r"```bash\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] == ["archrep"]:
                yield words[1:]
            elif "archrep.cli" in words:
                yield words[words.index("archrep.cli") + 1 :]


def named(words):
    """The click command that the words begin with, and its arguments."""
    command = typer.main.get_command(app)
    while hasattr(command, "commands") and words:
        assert words[0] in command.commands, f"archrep {' '.join(words)}"
        command, words = command.commands[words[0]], words[1:]
    return command, words


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_and_their_options_exist(page):
    for words in commands_in(page):
        command, arguments = named(words)
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        given = {word.partition("=")[0] for word in arguments if re.match(r"--?[a-z]", word)}
        assert given <= known, f"archrep {' '.join(words)}"
        needed = {p.opts[0] for p in command.params if p.required and p.param_type_name == "option"}
        assert needed <= given, f"archrep {' '.join(words)}"


def test_there_are_commands_to_look_at():
    assert sum(len(list(commands_in(page))) for page in PAGES) > 40


def anchors(page):
    """What links into a Markdown page can name: its headings, as GitHub and myst write them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [*PAGES, *CARDS], ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        there = page.parent / target if target else page
        assert there.exists(), f"{page.name}: {target}"
        assert not anchor or anchor[1:] in anchors(there), f"{page.name}: {target}{anchor}"


def test_pictures_have_words():
    for page in PAGES:
        for words in re.findall(r"!\[([^\]]*)\]\(", page.read_text(encoding="utf-8")):
            assert len(words) > 10, f"{page.name}: {words!r}"


def test_the_page_of_python_has_every_public_name():
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    assert [name for name in archrep.__all__ if not re.search(rf"::.*\.{name}$", page, re.MULTILINE)] == []


def test_the_page_of_commands_is_up_to_date():
    typer_docs = [sys.executable, "-m", "typer", "archrep.cli.main", "utils", "docs", "--name", "archrep"]
    done = subprocess.run([*typer_docs, "--title", "Commands"], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == (ROOT / "docs" / "commands.md").read_text(encoding="utf-8").strip(), "run: make docs"


def build(builder, folder):
    """The site, built as `make docs` does: a broken reference fails."""
    pytest.importorskip("sphinx")
    options = ("-b", builder, "--fail-on-warning", "--keep-going", "--nitpicky", "-q")
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *options, ROOT / "docs", folder], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_every_reference_of_the_site_leads_somewhere(tmp_path):
    build("dummy", tmp_path / "site")


@pytest.mark.slow
def test_the_site_loads_nothing_from_a_network(tmp_path):
    build("html", tmp_path / "site")
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > 12
    for page in pages:
        assert not re.search(r'<(script|img|iframe)[^>]+src="(https?:)?//', page.read_text(encoding="utf-8"))
        assert not re.search(r'<link[^>]+rel="stylesheet"[^>]+href="(https?:)?//', page.read_text(encoding="utf-8"))
