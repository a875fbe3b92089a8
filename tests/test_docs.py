"""The docs against the code: every command, link, setting, detector kind and dependency.

Commands that need the product running are run against it in tests/integration/test_local_run.py.
"""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from connectors.catalogue import Topics
from connectors.detector import DetectorConfig
from connectors.http_protocol import MALFORMED
from connectors.settings import KafkaSettings
from flows.detectors.registry import KINDS
from flows.validator import ConfigError, check_config
from tests.settings_page import PAGE, page

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
PYTHON = re.compile(r"^(\.venv/bin/)?python3?$")


class Block(NamedTuple):
    """A fenced block of a page."""

    page: Path
    language: str
    text: str


def blocks() -> Iterator[Block]:
    for found in PAGES:
        for language, text in re.findall(r"^```(\w*)\n(.*?)^```$", found.read_text(), re.MULTILINE | re.DOTALL):
            yield Block(found, language, text)


def commands() -> Iterator[tuple[str, list[str]]]:
    """Every command line of the ``sh`` blocks, as page name and words; comments and environment left out."""
    for block in blocks():
        if block.language in {"sh", "bash", "shell"}:
            for words in split_lines(block.text):
                yield block.page.name, words


def split_lines(text: str) -> Iterator[list[str]]:
    """Command lines of a block; a quoted text may go over several lines."""
    pending = ""
    for line in text.splitlines():
        pending = f"{pending}\n{line}" if pending else line
        try:
            words = shlex.split(pending.replace("\\\n", " "), comments=True)
        except ValueError:  # a quotation goes on
            continue
        if pending.endswith("\\"):
            continue
        pending = ""
        while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
            words = words[1:]
        if words:
            yield words
    assert pending == "", pending


def check_make(words: list[str]) -> None:
    targets = [word for word in words[1:] if "=" not in word]
    done = subprocess.run(["make", "-n", *targets], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def check_tocsin(words: list[str]) -> None:
    subcommands = [word for word in words[1:] if not word.startswith("-")][:1]
    command = [sys.executable, "-m", "api.cli", *subcommands, "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    for option in (word for word in words[1:] if word.startswith("--")):
        assert option in done.stdout


def check_python(words: list[str]) -> None:
    assert words[1] == "-m", words
    assert importlib.util.find_spec(words[2]) is not None
    assert all((ROOT / word).exists() for word in words[3:] if word.startswith("tests/"))


def check_docker(words: list[str]) -> None:
    """No Docker where tests run: the services named must exist; tests/unit/test_compose.py checks the files."""
    if words[1] == "compose":
        services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
        named = [word for word in words[3:] if not word.startswith("-")]
        assert set(named) <= set(services)
    else:
        assert (ROOT / words[words.index("-f") + 1]).exists()


def check_pytest(words: list[str]) -> None:
    assert all((ROOT / word.partition("::")[0]).exists() for word in words[1:] if not word.startswith("-"))


def check_address(words: list[str]) -> None:
    """A server of somebody else, or one of ours that the integration test asks: its address must be one of ours."""
    addresses = [address for word in words for address in re.findall(r"(?:https?|wss?)://[^/\s'\"]+", word)]
    assert addresses, words
    ours = {"127.0.0.1:8000", "127.0.0.1:8001", "127.0.0.1:8002", "127.0.0.1:8005", "localhost:8000", "localhost:8001",
            "prometheus:9090"}  # fmt: skip
    assert {address.partition("//")[2] for address in addresses} <= ours


def check_kcat(words: list[str]) -> None:
    """kcat asks our broker, for topics that exist."""
    assert words[words.index("-b") + 1] == KafkaSettings.model_fields["kafka"].default
    assert words[words.index("-t") + 1] in {spec.name for spec in Topics().specs()}


CHECKS = {
    "make": check_make,
    "tocsin": check_tocsin,
    ".venv/bin/tocsin": check_tocsin,
    ".venv/bin/python": check_python,
    "python": check_python,
    ".venv/bin/pytest": check_pytest,
    "docker": check_docker,
    "curl": check_address,
    "vmagent": check_address,
    "kcat": check_kcat,
}


@pytest.mark.parametrize(("name", "words"), list(commands()), ids=lambda value: str(value)[:60])
def test_every_command_can_be_run(name: str, words: list[str]) -> None:
    assert words[0] in CHECKS, f"{name}: nobody checks {words[0]}: add it to CHECKS"
    CHECKS[words[0]](words)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        found = (page.parent / file).resolve() if file else page
        assert found.exists(), f"{page.name}: {target}"
        if anchor:
            assert anchor in anchors(found), f"{page.name}: {target}"


def anchors(page: Path) -> set[str]:
    """Anchors of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_settings_page_is_as_the_code_says() -> None:
    assert page() == PAGE.read_text(), "write it anew: .venv/bin/python -m tests.settings_page > docs/settings.md"


@pytest.mark.parametrize("kind", KINDS)
def test_every_detector_kind_and_parameter_is_described(kind: str) -> None:
    text = (ROOT / "docs" / "detectors.md").read_text()
    section = re.search(rf"^## {kind}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert section is not None
    for parameter in KINDS[kind].params.model_fields:
        assert f"`{parameter}`" in section[1]


def test_the_api_page_lists_the_fields_of_a_config_with_their_defaults() -> None:
    text = (ROOT / "docs" / "api.md").read_text()
    table = re.search(r"^A detector's config:\n\n\|.*\n\|.*\n((?:\|.*\n)+)", text, re.MULTILINE)
    assert table is not None
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+?) \| ", table[1], re.MULTILINE))
    assert list(rows) == list(DetectorConfig.model_fields)
    for name, field in DetectorConfig.model_fields.items():
        wanted = "–" if field.is_required() else json.dumps(field.default)
        assert rows[name].strip("`") == wanted.strip('"'), name


def test_the_ingest_page_has_the_answer_to_what_is_no_http() -> None:
    text = (ROOT / "docs" / "ingest.md").read_text()
    assert re.search(rf"^\| {MALFORMED.status.value} \| .*\(`{MALFORMED.reason}`\)", text, re.MULTILINE)


def test_the_api_page_shows_a_refusal_as_it_is() -> None:
    text = (ROOT / "docs" / "api.md").read_text()
    with pytest.raises(ConfigError) as caught:
        check_config(DetectorConfig(name="Targets up", kind="mda", selector="up"))
    assert f'"detail": "{caught.value}"' in text
    assert f'"expected": "{caught.value.expected}"' in text


def test_every_dependency_has_its_line_and_no_other() -> None:
    whole = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project = whole["project"]
    parts = re.split(r"^## ", (ROOT / "docs" / "dependencies.md").read_text(), flags=re.MULTILINE)[1:]
    listed = [re.findall(r"^\| ([\w.-]+) \| [^|]+ \| [^|]+ \| [^|]+ \|$", part, re.MULTILINE) for part in parts]
    extras = (project["optional-dependencies"][extra] for extra in ("local", "plot", "dev"))
    wanted = [project["dependencies"], *extras, whole["dependency-groups"]["install"]]
    names = [[re.split(r"[=<>!~\[; ]", line)[0].lower() for line in group] for group in wanted]
    assert [sorted(set(lines) - {"package", "---"}) for lines in listed] == [sorted(group) for group in names]
    assert all(len(lines) == len(set(lines)) for lines in listed)


@pytest.mark.parametrize(
    ("name", "least"), [("requirements.lock", 31), ("requirements-dev.lock", 31), ("requirements-install.lock", 1)]
)
def test_the_locks_are_hashed_and_name_no_host(name: str, least: int) -> None:
    text = (ROOT / name).read_text()
    assert "://" not in text
    assert "--index-url" not in text
    assert "--find-links" not in text
    entries = re.findall(r"^([\w.-]+)==\S+(.*?)(?=^\S|\Z)", text, re.MULTILINE | re.DOTALL)
    assert len(entries) >= least
    assert all("--hash=sha256:" in rest for _, rest in entries)


def test_the_locks_hold_what_pyproject_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    runtime, dev = (locked(ROOT / name) for name in ("requirements.lock", "requirements-dev.lock"))
    asked = [*project["dependencies"], *project["optional-dependencies"]["local"]]
    names = {re.split(r"[=<>!~\[; ]", line)[0].lower() for line in asked}
    more = [*project["optional-dependencies"]["plot"], *project["optional-dependencies"]["dev"]]
    extra = {re.split(r"[=<>!~\[; ]", line)[0].lower() for line in more}
    assert names <= set(runtime)
    assert names | extra <= set(dev)
    assert runtime.items() <= dev.items()


def locked(path: Path) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)==(\S+)", path.read_text(), re.MULTILINE))


PROMETHEUS_SNIPPETS = [block for block in blocks() if block.language == "yaml" and "remote_write:" in block.text]


@pytest.mark.parametrize("block", PROMETHEUS_SNIPPETS, ids=lambda block: block.page.name)
def test_prometheus_takes_the_snippets(block: Block, tmp_path: Path) -> None:
    assert yaml.safe_load(block.text)["remote_write"][0]["url"] == "http://127.0.0.1:8001/api/v1/write"
    if "# prometheus 3" in block.text:
        return  # Debian's promtool is older than the field; its name and value are in Prometheus' documentation
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is missing: install prometheus")
    config = tmp_path / "prometheus.yml"
    config.write_text(block.text)
    done = subprocess.run(
        [promtool, "check", "config", config], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_readme_shows_how_to_feed_it() -> None:
    assert len([block for block in PROMETHEUS_SNIPPETS if block.page.name == "README.md"]) == 2


def test_nothing_committed_names_this_machine() -> None:
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    private = re.compile(r"/(work|root|home)/(main|shared|\w+/)|\.library|pypi\.org|files\.pythonhosted")
    for name in done.stdout.splitlines():
        path = ROOT / name
        if (
            path.suffix in {".py", ".md", ".toml", ".yml", ".lock", ".xml", ""}
            and path.is_file()
            and path != Path(__file__)
        ):
            assert private.search(path.read_text()) is None, name
