"""The book, the examples and `deploy/` say what is so: settings, commands, tests, alarms, links, and a table of who is online."""

import os
import re
import shlex
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

from rig import PATIENCE, arguments, equal, expect, run_checks
from rig.programs import publish

ROOT = Path(__file__).resolve().parents[2]
BOOK = sorted((ROOT / "docs/src").glob("*.md"))
DEPLOY = ROOT / "deploy"


def program():
    """The release binary: the environment of Python is kept beside it."""
    beside = Path(sys.prefix).parents[1] / "release/rollcall"
    return os.environ.get("BROKER_PROGRAM") or str(beside)


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.M | re.S)


def rollcall(*words, cwd=None):
    return subprocess.run([program(), *words], cwd=cwd, capture_output=True, text=True, timeout=PATIENCE)


def check_settings(text, what, folder):
    """With the files there that settings name."""
    (folder / "settings.toml").write_text(text.replace("/etc/rollcall/", ""))
    done = rollcall("check-config", "--config", "settings.toml", cwd=folder)
    expect(done.returncode == 0, f"{what}: {done.stderr}\n{text}")
    equal(done.stderr, "", f"{what}: warnings")


def settings_are_right(_broker):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = rollcall("init", "--lan", "--dir", name, "--name", "localhost")
        expect(made.returncode == 0, made.stderr)
        checked = 0
        for page in BOOK:
            for text in blocks(page, "toml"):
                check_settings(text, page.name, folder)
                checked += 1
        for path in DEPLOY.rglob("*.toml"):
            check_settings(path.read_text(), str(path), folder)
            checked += 1
        chart = yaml.safe_load((DEPLOY / "helm/rollcall/values.yaml").read_text())
        check_settings(chart["config"], "the chart", folder)
        expect(checked > 10, f"only {checked} were found")


def commands_are_there(_broker):
    checked = 0
    for page in BOOK:
        for line in "".join(blocks(page, "sh")).splitlines():
            words = shlex.split(line, comments=True)
            if not words or words[0] != "rollcall":
                continue
            done = rollcall(*words[1:], "--help")
            expect(done.returncode == 0, f"{page.name}: {line}: {done.stderr}")
            checked += 1
    expect(checked > 10, f"only {checked} were found")


def tests_are_there(_broker):
    named = set()
    for page in BOOK:
        named |= set(re.findall(r"`(\w+)::(\w+)`", page.read_text()))
    expect(len(named) > 30, f"only {len(named)} are named")
    for file, test in named:
        path = ROOT / f"tests/tests/it/{file}.rs"
        expect(path.is_file() and f"fn {test}(" in path.read_text(), f"there is no test {file}::{test}")


def alarms_are_told_of(_broker):
    """Those whose names stand in the source as they are."""
    told = (ROOT / "docs/src/alarms.md").read_text()
    found = set()
    for path in (ROOT / "crates").rglob("*.rs"):
        source = path.read_text().split("#[cfg(test)]")[0]
        if path.name != "tests.rs" and re.search(r"Cause \{|Wrong \{|const ALARM", source):
            found |= set(re.findall(r'(?:Cause|Wrong) \{\s*name: "(\w+)"', source))
            found |= set(re.findall(r'const ALARM: &str = "(\w+)"', source))
        module = path.relative_to(ROOT / "crates").parts
        owner = module[2].removesuffix(".rs") if len(module) > 2 else ""
        owner = "auth_http" if module[0] == "auth" and owner == "http" else owner
        if module[0] in ("modules", "auth"):
            for at in (match.start() for match in re.finditer(r"\.alarming\(", source)):
                # It is said of the last counter before it.
                names = re.findall(r'\bcounter\(\s*"([\w.]+)"', source[:at])
                if names:
                    found.add(f"{owner}_{names[-1].replace('.', '_')}")
        if path.name != "tests.rs":
            # By the name of the module in front, which may be another than the folder's.
            for name in re.findall(r'ctx\.alarm\("(\w+)"\)', source):
                expect(re.search(rf"`[a-z_]+_{name}`", told), f"docs/src/alarms.md says nothing of an alarm of {module[0]} that ends with _{name}")
    expect(len(found) > 12, f"only {sorted(found)} were found")
    for name in sorted(found):
        expect(f"{name}`" in told, f"docs/src/alarms.md says nothing of {name}")


def links_lead_somewhere(_broker):
    pages = [*BOOK, ROOT / "README.md", ROOT / "SECURITY.md", ROOT / "examples/README.md"]
    for page in pages:
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
            if re.match(r"\w+://", target):
                continue
            path, _, anchor = target.partition("#")
            file = page.parent / path if path else page
            expect(file.exists(), f"{page.name}: {target}")
            heads = re.findall(r"^#+ (.*)$", file.read_text(), re.M) if anchor else []
            slugs = [re.sub(r"[^\w -]", "", head).strip().lower().replace(" ", "-") for head in heads]
            expect(not anchor or anchor in slugs, f"{page.name}: {target}: {slugs}")
    summary = (ROOT / "docs/src/SUMMARY.md").read_text()
    for page in BOOK:
        expect(page.name == "SUMMARY.md" or f"({page.name})" in summary, f"{page.name} is not in SUMMARY.md")
    for page in BOOK:
        for path in re.findall(r"`((?:deploy|examples|crates|docs|tests)/[\w./-]+)`", page.read_text()):
            expect((ROOT / path).exists(), f"{page.name}: {path}")


def yaml_is_yaml(_broker):
    found = 0
    for path in [*DEPLOY.rglob("*.yaml"), *DEPLOY.rglob("*.yml")]:
        text = path.read_text()
        if "templates" in path.parts:
            # As if each line that only decides were not there, and each value were some word.
            text = re.sub(r"^\s*\{\{-.*\}\}$", "", text, flags=re.M)
            text = re.sub(r'"\{\{.*?\}\}"', '"x"', text)
            text = re.sub(r"\{\{.*?\}\}", "1", text)
        expect(list(yaml.safe_load_all(text)), f"{path} is empty")
        found += 1
    expect(found > 8, f"only {found} were found")


def the_table_of_who_is_online_is_whole(broker):
    publish(broker, "-i", "came/and-went", "-t", "x", "-m", "y")
    publish(broker, "-i", "went", "-t", "x", "-m", "y")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "online.db"
        words = [sys.executable, ROOT / "examples/online_table.py", "--once", "--host", broker.host,
                 "--port", str(broker.port), path]
        # A row of somebody who is not known any more, as if from a run before.
        for _ in range(2):
            done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE)
            expect(done.returncode == 0, done.stderr)
            with sqlite3.connect(path) as database:
                rows = dict(database.execute("select clientid, state from clients"))
                database.execute("insert into clients values (?, 'unknown', 'online', 1, null, 1, 0)", (broker.node,))
            equal((rows["went"], rows["came/and-went"]), ("offline", "offline"), "states")
            equal([state for state in rows.values() if state == "online"], ["online"], "itself, and nobody else")


if __name__ == "__main__":
    run_checks(__file__, arguments(), [
        settings_are_right,
        commands_are_there,
        tests_are_there,
        alarms_are_told_of,
        links_lead_somewhere,
        yaml_is_yaml,
        the_table_of_who_is_online_is_whole,
    ])
