"""What an installed package must keep: its version, its pins, its wheel, its light import."""

import configparser
import pathlib
import shutil
import subprocess
import sys
import zipfile

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import rnnpt

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture(scope="module")
def setup_cfg() -> configparser.ConfigParser:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    return config


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def requirements(config: configparser.ConfigParser, *extras: str) -> list[Requirement]:
    texts = [config["options"]["install_requires"]]
    texts += [config["options.extras_require"][extra] for extra in extras]
    return [Requirement(line) for text in texts for line in lines(text)]


def pins() -> dict[str, str]:
    parts = [line.split("==") for line in lines((ROOT / "constraints.txt").read_text())]
    return {canonicalize_name(name): version for name, version in parts}


def test_importing_the_package_imports_no_room_and_no_library():
    code = "import sys; old = set(sys.modules); import rnnpt; print(*set(sys.modules) - old)"
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    tops = {name.partition(".")[0] for name in answer.stdout.split()}
    assert [name for name in answer.stdout.split() if name.startswith("rnnpt")] == ["rnnpt"]
    assert tops <= set(sys.stdlib_module_names) | {"rnnpt"}


def test_version_is_that_of_the_metadata_when_installed(setup_cfg):
    if rnnpt.__version__ == "0+source":
        pytest.skip("rnnpt is on the path and not installed")
    assert rnnpt.__version__ == setup_cfg["metadata"]["version"]


def test_changelog_tells_of_the_version(setup_cfg):
    assert f"## [{setup_cfg['metadata']['version']}]" in (ROOT / "CHANGELOG.md").read_text()


def test_requirements_are_ranges(setup_cfg):
    for requirement in requirements(setup_cfg, "test", "lint", "benchmark"):
        operators = {specifier.operator for specifier in requirement.specifier}
        assert operators and operators <= {">=", "<", "!="}, str(requirement)


def test_every_requirement_has_a_tested_version_inside_its_range(setup_cfg):
    tested = pins()
    for requirement in requirements(setup_cfg, "test", "lint"):
        version = tested[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"{requirement}: {version} was tested"


def test_every_folder_of_python_files_is_a_package():
    folders = {path.parent for path in (ROOT / "rnnpt").rglob("*.py")}
    assert not {folder for folder in folders if not (folder / "__init__.py").exists()}


def test_assets_folders_hold_no_package():
    for folder in ("export", "serving"):
        assert not list((ROOT / folder).rglob("__init__.py"))
        first = (ROOT / folder / "README.md").read_text().splitlines()[0]
        assert f"rnnpt/{folder}" in first


def test_wheel_holds_the_package_with_its_types_and_nothing_else(tmp_path):
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("rnnpt", "tests", "export", "serving"):
        shutil.copytree(ROOT / name, tmp_path / name)
    code = "from setuptools import build_meta; build_meta.build_wheel('dist')"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, check=True)
    [wheel] = (tmp_path / "dist").glob("rnnpt-*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    shipped = {name for name in names if ".dist-info/" not in name}
    source = {str(path.relative_to(ROOT)) for path in (ROOT / "rnnpt").rglob("*.py")}
    assert shipped == source | {"rnnpt/py.typed"}
    assert any(name.endswith("/licenses/LICENSE") for name in names)


def test_ci_script_is_valid_and_ends_with_the_tests():
    script = ROOT / ".ci" / "run"
    subprocess.run(["bash", "-n", str(script)], check=True)
    assert script.read_text().splitlines()[-1] == "make test"


def run_make(folder: pathlib.Path, python: str) -> subprocess.CompletedProcess:
    shutil.copy(ROOT / "Makefile", folder)
    command = ["make", "--silent", "demo", f"PYTHON={python}"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def test_make_names_the_pythons_it_needs(tmp_path):
    answer = run_make(tmp_path, "no-such-python")
    rule = "rnnpt needs Python 3.11 or 3.12, and no-such-python is neither: install one"
    assert answer.returncode != 0
    assert answer.stderr.startswith(rule)


def test_make_names_the_package_that_a_python_without_ensurepip_needs(tmp_path):
    python = tmp_path / "python-without-ensurepip"
    python.write_text('#!/bin/sh\ncase "$2" in *ensurepip*) exit 1;; esac\n')
    python.chmod(0o755)
    answer = run_make(tmp_path, str(python))
    assert answer.returncode != 0
    assert "apt-get install python3-venv" in answer.stderr.splitlines()[0]
