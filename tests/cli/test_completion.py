"""Shell completion of values, and that what it knows is what there is."""

import pytest
import typer

from archrep.cli import commands, completion
from archrep.cli.main import app
from tests.cli import here


def test_values_are_those_that_the_package_has():
    from archrep.data.adapters import FORMATS
    from archrep.data.targets import TARGETS
    from archrep.measure import PROTOCOLS
    from archrep.probe.encoders import ENCODERS
    from archrep.probe.models import PROBES
    from archrep.probe.protocols import PATTERN
    from archrep.search.strategies import STRATEGIES
    from archrep.space.listing import ABOUT, SPLITS
    from archrep.train.config import CHOICES, PRESETS

    offered = {kind: set(values) for kind, values in completion.VALUES.items()}
    assert offered["space"] == set(ABOUT)
    assert offered["deepnets"] == set(SPLITS)
    assert offered["split"] == set(SPLITS["deepnets"]) - {"predefined"}  # which cannot be sampled
    assert offered["target"] == set(TARGETS)
    assert offered["encoder"] == set(ENCODERS)
    assert offered["probe"] == {"auto", "ensemble", *PROBES}
    assert offered["strategy"] == set(STRATEGIES)
    assert offered["measuring protocol"] <= set(PROTOCOLS)
    assert offered["published"] == set(FORMATS)
    assert offered["preset"] == set(PRESETS)
    for name, choices in CHOICES.items():
        assert offered[name] == set(choices)
    assert all(name == "ppuda" or PATTERN.fullmatch(name) for name in offered["probe protocol"])


def test_the_shell_is_offered_commands_options_and_values(monkeypatch, capsys):
    monkeypatch.setenv("_ARCHREP_COMPLETE", "complete_zsh")
    for line, wanted in {
        "predict": "predict-target",
        "probe --lea": "--learning-curve",
        "probe --target ro": "robustness",
        "probe --encoders size,gra": "size,graph-features",
        "measure --protocol qu": "quick-8x",
        "search --strategies gp-ei,b": "gp-ei,bananas",
    }.items():
        monkeypatch.setenv("_TYPER_COMPLETE_ARGS", f"archrep {line}")
        with pytest.raises(SystemExit):
            app(prog_name="archrep")
        assert wanted in capsys.readouterr().out, line


def test_specs_are_completed_up_to_the_split():
    assert completion.spec("deepnets-s") == ["deepnets-small:"]
    assert completion.spec("deepnets-small:te") == ["deepnets-small:test"]
    assert completion.spec("timm:res") == []


def test_every_command_that_reports_prints_json():
    command = typer.main.get_command(app)
    flat = {**command.commands, **command.commands["labels"].commands}
    flat.pop("labels")
    assert len(flat) > len(commands.ALL)
    without = {name for name, one in flat.items() if not any("--json" in p.opts for p in one.params)}
    assert without == {"train"}  # its metrics.jsonl tells every step


def test_pipes_get_no_control_characters():
    for line in ("", "--help", "list", "probe --help", "graph deepnets-small:test:0"):
        done = here.archrep(*line.split())
        assert done.returncode == 0
        assert not [c for c in done.stdout + done.stderr if ord(c) < 32 and c != "\n"], line
