"""Supply chain: what is installed is pinned, nothing reaches for the network, downloads are checked."""

import ast
import functools
import http.server
import json
import os
import re
import subprocess
import sys
import threading
import tomllib

import pytest
import pytest_socket

from archrep.data import images, load_images
from archrep.errors import ArchrepError
from tests.conftest import PROJECT

CLIENTS = {"urllib", "http", "socket", "ssl", "ftplib", "requests", "httpx", "aiohttp", "pooch", "huggingface_hub"}
IMPORT_ALL = """
import importlib, pkgutil, sys, warnings
warnings.simplefilter("ignore")
asked = []
def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        asked.append(f"{event} {arguments[-2:]}")
sys.addaudithook(watch)
import archrep
for module in pkgutil.walk_packages(archrep.__path__, "archrep."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
found, asked = asked, []
import socket
socket.getaddrinfo("127.0.0.1", 1)
assert asked, "the watch is asleep"
sys.exit(str(found) if found else 0)
"""


def _project() -> dict:
    return tomllib.loads((PROJECT / "pyproject.toml").read_text())


def test_every_direct_dependency_is_pinned(record_property):
    record_property("fault", "a dependency without a pin, or pinned outside the supported range")
    pinned = {}
    for line in (PROJECT / "constraints.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, version = line.split("==")  # fails for anything but one exact version
            pinned[name.lower()] = version
    project = _project()["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    wanted = [text for group in groups for text in group if not text.startswith("archrep[")]
    record_property("cases", len(wanted))
    from packaging.requirements import Requirement

    for requirement in map(Requirement, wanted):
        assert requirement.name.lower() in pinned, f"{requirement.name} has no pin in constraints.txt"
        assert requirement.specifier.contains(pinned[requirement.name.lower()]), str(requirement)


@pytest.mark.timeout(280)
def test_importing_everything_asks_no_network(record_property):
    record_property("fault", "importing all modules asks the network")
    record_property("cases", 1)
    done = subprocess.run([sys.executable, "-c", IMPORT_ALL], capture_output=True, text=True, cwd=PROJECT)
    assert done.returncode == 0, done.stderr[-2000:]


def test_one_module_can_download():
    found = set()
    for path in (PROJECT / "archrep").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(name.split(".")[0] in CLIENTS for name in names):
                found.add(path.relative_to(PROJECT).as_posix())
            if isinstance(node, ast.keyword) and node.arg in ("pretrained", "trust_remote_code"):
                assert isinstance(node.value, ast.Constant), path
                assert node.value.value is False, path
    assert found <= {"archrep/data/images.py", "archrep/train/group.py", "archrep/measure/ray_crew.py"}
    assert "archrep/data/images.py" in found


@pytest.mark.filterwarnings("ignore:A test tried to use socket")
def test_tests_have_no_network():
    import socket

    with socket.socket() as outside, pytest.raises(pytest_socket.SocketConnectBlockedError):
        outside.connect(("192.0.2.1", 80))  # an address that documents, and nobody, may use


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A server on this machine that gives something else than CIFAR-10; downloads land in a folder of the test."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "cifar-10-binary.tar.gz").write_bytes(b"exchanged")
    handler = functools.partial(_Quiet, directory=tmp_path / "site")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setattr(images, "CIFAR10_URL", f"http://127.0.0.1:{server.server_port}/cifar-10-binary.tar.gz")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    yield tmp_path / "cache"
    server.shutdown()
    thread.join()
    server.server_close()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


def test_a_download_that_was_exchanged_is_refused(served, record_property):
    record_property("fault", "CIFAR-10 exchanged on its way")
    record_property("cases", 1)
    with pytest.raises(ArchrepError, match="Cannot download CIFAR-10"):
        load_images("cifar10")
    assert not [path for path in served.rglob("*") if path.is_file()]  # nothing of it stays


def test_downloads_are_checked_by_sha256():
    assert re.fullmatch("[0-9a-f]{64}", images.CIFAR10_SHA256)


@pytest.mark.skipif(not os.environ.get("ARCHREP_AUDIT"), reason="asks a vulnerability service; `make audit` runs it")
def test_no_known_vulnerabilities(record_property):
    record_property("fault", "dependencies with known vulnerabilities")
    command = [sys.executable, "-m", "pip_audit", "--local", "--skip-editable", "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=250)
    if not done.stdout.strip():
        pytest.skip(f"the vulnerability service cannot be reached: {done.stderr.strip().splitlines()[-1:]}")
    packages = json.loads(done.stdout)["dependencies"]
    known = [package for package in packages if "skip_reason" not in package]
    record_property("cases", len(known))
    assert not [(p["name"], p["version"], p["vulns"]) for p in known if p["vulns"]]
    if not known:
        pytest.skip(f"the vulnerability service knows none of {len(packages)} packages")
