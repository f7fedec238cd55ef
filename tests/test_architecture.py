"""The order of the rooms, what they may import, and what stays out of light imports."""

import ast
import subprocess
import sys
import time
import tomllib
from functools import cache
from graphlib import TopologicalSorter

import pytest

CORE = {"core"}
MAY_IMPORT = {
    "core": set(),
    "srf_data": {*CORE},
    "metrics": {*CORE},
    "align": {*CORE, "srf_data", "metrics"},
    "products": {*CORE, "srf_data", "align"},
    "simulate": {*CORE, "srf_data", "metrics", "products"},
    "fusformer": {*CORE, "srf_data"},
    "restore": {*CORE, "fusformer"},
    "fusion": {*CORE, "srf_data", "metrics", "align", "restore", "fusformer"},
    "stf": {*CORE, "metrics", "align"},
    "temporal": {*CORE, "metrics", "align", "stf"},
}
MAY_IMPORT["train"] = set(MAY_IMPORT) - {"train"}
MAY_IMPORT["flows"] = set(MAY_IMPORT) - {"flows"}
MAY_IMPORT["api"] = set(MAY_IMPORT) - {"api"}
MAY_IMPORT["cli"] = {*MAY_IMPORT, "api"} - {"cli"}
for _others in MAY_IMPORT.values():
    _others.add("moved")  # old paths, for one version; it knows the rooms by name only
MAY_IMPORT["moved"] = set()


def rooms(repository):
    return sorted(p.parent.name for p in repository.glob("*/py.typed"))


@cache
def tree(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path):
    """(line, module) of every import in a file, wherever it stands."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            if node.module == "trifuse":  # from trifuse import metrics
                yield from ((node.lineno, f"trifuse.{alias.name}") for alias in node.names)
            else:
                yield node.lineno, node.module


def test_imports_point_only_upward(repository):
    breaches, seen = [], 0
    names = rooms(repository)
    for room in names:
        for path in sorted((repository / room).rglob("*.py")):
            for line, module in imports(path):
                seen += 1
                head, *rest = module.split(".")
                where = f"{path.relative_to(repository)}:{line} imports {module}"
                if head in names:
                    breaches.append(f"{where}: rooms are imported as trifuse.{head}")
                elif head == "trifuse":
                    other = rest[0] if rest and rest[0] in names else "api"
                    if other != room and other not in MAY_IMPORT[room]:
                        breaches.append(where)
    assert seen > 100
    assert breaches == []


def test_nothing_here_uses_an_old_path(repository):
    from trifuse.moved.table import DIVIDED, MODULES

    tops = [*rooms(repository), "tests", "bench"]
    used = [
        f"{path.relative_to(repository)}:{line} imports {module}"
        for top in tops
        for path in sorted((repository / top).rglob("*.py"))
        if path.parent.name != "moved"
        for line, module in imports(path)
        if module in MODULES or module in DIVIDED
    ]
    assert used == []


def test_every_room_has_its_place_in_the_order(repository):
    assert set(rooms(repository)) <= set(MAY_IMPORT)
    for room in rooms(repository):
        assert (repository / room / "__init__.py").is_file()


def test_no_modules_import_each_other_in_a_circle(repository):
    """Wherever the import stands: at the top, in a function, or for type checkers alone."""
    files = {}
    for room in rooms(repository):
        for path in sorted((repository / room).rglob("*.py")):
            parts = path.relative_to(repository).with_suffix("").parts
            parts = tuple(p for p in parts if p not in ("api", "__init__"))
            files[".".join(("trifuse", *parts))] = path

    def needs(name):
        for node in ast.walk(tree(files[name])):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                inner = (f"{node.module}.{alias.name}" for alias in node.names)
                yield from (module if module in files else node.module for module in inner)

    graph = {name: {need for need in needs(name) if need in files} - {name} for name in files}
    order = list(TopologicalSorter(graph).static_order())  # raises CycleError, naming them
    assert order.index("trifuse.core.work") < order.index("trifuse.core.units")


def test_a_rooms_init_only_hands_on(repository):
    for room in rooms(repository):
        if room == "api":
            continue
        for node in ast.parse((repository / room / "__init__.py").read_text()).body:
            allowed = (ast.Import, ast.ImportFrom, ast.Assign, ast.Expr, ast.If)
            assert isinstance(node, allowed), f"{room}/__init__.py:{node.lineno} defines something"


def run(code):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize(
    "module",
    [
        "trifuse",
        "trifuse.core",
        "trifuse.srf_data",
        "trifuse.metrics",
        "trifuse.align",
        "trifuse.products",
        "trifuse.simulate",
        "trifuse.cli.main",
    ],
)
def test_imports_without_torch(module):
    done = run(f"import {module}, sys; sys.exit('torch' in sys.modules)")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "module",
    [
        "trifuse",
        "trifuse.core",
        "trifuse.core.resample_torch",
        "trifuse.srf_data",
        "trifuse.metrics",
        "trifuse.align",
        "trifuse.simulate",
        "trifuse.fusformer",
        "trifuse.restore",
        "trifuse.fusion",
        "trifuse.train",
    ],
)
def test_imports_where_rasterio_and_spectral_are_absent(module):
    block = "import sys; sys.modules['rasterio'] = sys.modules['spectral'] = None; "
    done = run(f"{block}import {module}")
    assert done.returncode == 0, done.stderr


def test_importing_the_root_is_cheap():
    def best(code):
        times = []
        for _ in range(3):
            start = time.perf_counter()
            assert run(code).returncode == 0
            times.append(time.perf_counter() - start)
        return min(times)

    assert best("import trifuse") - best("pass") < 0.2


def test_the_base_install_is_what_was_agreed(repository):
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    names = {d.split(">")[0] for d in project["dependencies"]}
    users = {"numpy", "scipy", "spectral", "h5py", "torch", "timm", "rasterio", "click"}
    ours = {"safetensors", "defusedxml", "lightning-fabric", "tqdm", "PyYAML", "einops"}
    assert names == users | ours
