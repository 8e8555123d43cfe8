"""What the documents tell a user to type exists."""

import ast
import functools
import inspect
import pathlib
import pkgutil
import re
import shlex
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
DOCUMENTS = ["README.md", "CONTRIBUTING.md", "export/README.md", "serving/README.md"]


def blocks(document: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / document).read_text(), re.DOTALL)


def commands(program: str) -> list[list[str]]:
    """The words of every call of a program in the documents' shell blocks and the Dockerfile."""
    texts = [block for document in DOCUMENTS for block in blocks(document, "sh")]
    texts += re.findall(r"^RUN (.*)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    joined = (line for text in texts for line in text.replace("\\\n", " ").splitlines())
    calls = (shlex.split(line, comments=True) for line in joined)
    return [words for words in calls if words and words[0] == program]


def help_of(command: str) -> str:
    code = "import sys; from rnnpt.cli import main; sys.exit(main())"
    arguments = [sys.executable, "-c", code, command, "--help"]
    return subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("command", sorted({words[1] for words in commands("rnnpt")}))
def test_documented_flags_are_those_of_the_command_line(command):
    flags = {
        word.partition("=")[0]
        for words in commands("rnnpt")
        if words[1] == command
        for word in words[2:]
        if word.startswith("--")
    }
    assert flags <= set(re.findall(r"--\w+", help_of(command)))


def test_documented_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    assert {words[1] for words in commands("make")} <= targets


def test_readme_begins_with_the_two_commands():
    first_screen = (ROOT / "README.md").read_text().splitlines()[:24]
    assert {"make demo", "make test"} <= {line.partition("  ")[0] for line in first_screen}


@pytest.mark.parametrize("document", DOCUMENTS + ["CHANGELOG.md"])
def test_links_between_documents_lead_somewhere(document):
    targets = re.findall(r"\]\(([^):]+)\)", (ROOT / document).read_text())
    folder = (ROOT / document).parent
    assert not [target for target in targets if not (folder / target).exists()]


def dotted_name(node: ast.expr) -> list[str]:
    """["a", "b"] for `a.b`, and [] for an expression that is no plain name."""
    match node:
        case ast.Name(id=name):
            return [name]
        case ast.Attribute(value=value, attr=name) if dotted_name(value):
            return [*dotted_name(value), name]
    return []


def imported(tree: ast.Module) -> dict[str, object]:
    found = {}
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            parent = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
            for alias in node.names:
                found[alias.name] = pkgutil.resolve_name(parent + alias.name)
    return found


@pytest.mark.parametrize("script", blocks("README.md", "python"))
def test_readme_script_calls_what_exists_with_arguments_that_exist(script):
    tree = ast.parse(script)
    objects = imported(tree)
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    named = [(dotted_name(call.func), call) for call in calls]
    checked = [(names, call) for names, call in named if names and names[0] in objects]
    assert checked
    for names, call in checked:
        function = functools.reduce(getattr, names[1:], objects[names[0]])
        keywords = {keyword.arg: keyword.value for keyword in call.keywords}
        inspect.signature(function).bind(*call.args, **keywords)
