"""The wheel: built, installed into a fresh environment, and tried from an empty folder.

The environment borrows the packages of the present one, and kernels stay plain Python there: nothing is fetched or compiled.
"""

import json
import os
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from playwright.sync_api import expect

import pagingviz
from pagingviz.cli.main import main
from tests.ui.serving import PAGES, new_page, serve

ROOT = Path(__file__).resolve().parents[2]
BESIDE = ("app.py", "pages", ".streamlit/config.toml")  # what a checkout has beside the package and the wheel inside it
PLAIN = {"PAGINGVIZ_PLAIN": "1", "PYTHONWARNINGS": "ignore::RuntimeWarning"}


def pip(*arguments: str | Path) -> None:
    """Call pip, without asking any index."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", *map(str, arguments)]
    process = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert process.returncode == 0, process.stdout + process.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The path of a fresh wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", ROOT, "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", folder)
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def programs(wheel, tmp_path_factory):
    """The folder of programs (bin) of a fresh environment with the wheel in it."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    paths = sysconfig.get_paths(vars={"base": str(folder), "platbase": str(folder)})
    borrowed = "".join(f"import site; site.addsitedir({sysconfig.get_path(name)!r})\n" for name in ("purelib", "platlib"))
    Path(paths["purelib"], "borrowed.pth").write_text(borrowed)
    pip("--python", folder, "install", "--no-deps", "--no-index", wheel)
    return Path(paths["scripts"])


@pytest.fixture
def call(programs, tmp_path):
    """call(program, *arguments) -> stdout of a program of the fresh environment, started in an empty folder."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}

    def run(program, *arguments):
        command = [programs / program, *arguments]
        process = subprocess.run(
            command, cwd=tmp_path, env=clean | PLAIN, capture_output=True, text=True, timeout=600, check=False
        )
        assert (process.returncode, process.stderr) == (0, "")
        return process.stdout

    return run


def files(top: Path) -> set[Path]:
    """All files below a folder (or the file itself) that a program does not make by running."""
    found = top.rglob("*") if top.is_dir() else [top]
    return {path for path in found if path.is_file() and "__pycache__" not in path.parts}


def test_the_wheel_holds_every_file_and_nothing_else(wheel):
    package = {str(path.relative_to(ROOT)) for path in files(ROOT / "pagingviz")}
    beside = {f"pagingviz/_site/{path.relative_to(ROOT)}" for name in BESIDE for path in files(ROOT / name)}
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert held == package | beside


def test_the_version_stands_in_one_place(wheel, call):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert "version" in project["dynamic"] and "dependencies" in project["dynamic"]
    assert wheel.name.startswith(f"pagingviz-{pagingviz.__version__}-")
    assert call("pagingviz", "--version") == f"pagingviz {pagingviz.__version__}\n"


def test_the_wheel_asks_for_the_packages_of_requirements(call):
    asked = call("python", "-c", "import importlib.metadata as m; print(*m.requires('pagingviz'), sep='\\n')")
    wanted = (ROOT / "requirements.txt").read_text()
    assert set(map(Requirement, asked.split("\n")[:-1])) == set(map(Requirement, wanted.split("\n")[:-1]))


def test_commands_give_what_the_checkout_gives(call, capsys, programs):
    where = call("python", "-c", "import pagingviz; print(pagingviz.__file__)")
    assert Path(where).is_relative_to(programs.parent), "the wheel is tried, not the checkout"
    for arguments in (["list", "--json"], ["run", "blackboard", "--ticks", "200", "--json"]):
        assert main(arguments) == 0
        assert json.loads(call("pagingviz", *arguments)) == json.loads(capsys.readouterr().out)


@pytest.mark.browser
def test_the_app_answers_with_its_pages_and_its_theme(programs, browser, tmp_path):
    """From an empty folder: the list of pages, one page's text, the dark theme of .streamlit, a script of the board."""
    with serve(tmp_path, command=[str(programs / "pagingviz"), "app", "--port"], **PLAIN) as server:
        page = new_page(browser)
        assert page.goto(server.url + "/left-out?theme=dark").status == 200
        links = page.get_by_test_id("stSidebarNavLink")
        expect(links).to_have_count(len(PAGES))
        assert [link.get_attribute("href") for link in links.all()] == [server.url + path for path in PAGES]
        expect(page.get_by_role("heading", name="What the model leaves out")).to_be_visible()
        expect(page.get_by_test_id("stSidebar")).to_have_css("background-color", "rgb(30, 35, 41)")
        assert page.request.get(server.url + "/board/board.js").ok
        page.context.close()
