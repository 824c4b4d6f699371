"""Each layer of okazja imports only from those to its right, as `okazja.__doc__` states them."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "src" / "okazja"

# The public names, the command line's door and the kit for third-party backends join all layers.
JOINS_ALL = {"okazja", "okazja.__main__", "okazja.testing"}

# What `_core` may not import: its decisions depend on nothing but their arguments.
IMPURE = {
    "asyncio",
    "multiprocessing",
    "os",
    "selectors",
    "signal",
    "socket",
    "subprocess",
    "threading",
    "time",
}


@dataclass(frozen=True)
class Import:
    """One module that another names in an import statement."""

    importer: str
    imported: str
    line: int
    at_import: bool  # executed when the importer is imported: not in a function, not for typing only

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.imported}"


def module_name(path: Path) -> str:
    parts = ("okazja", *path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES: Mapping[str, Path] = {module_name(path): path for path in sorted(ROOT.rglob("*.py"))}


def stated_layers() -> list[set[str]]:
    """The layers, leftmost first, from the one line that states them."""
    doc = ast.get_docstring(ast.parse((ROOT / "__init__.py").read_text("utf-8"))) or ""
    lines = [line for line in doc.splitlines() if "→" in line]
    assert len(lines) == 1, f"the docstring of okazja states its layers on one line, found {len(lines)}"
    return [{name.strip(" `") for name in layer.split(",")} for layer in lines[0].split("→")]


RANKS: Mapping[str, int] = {name: rank for rank, layer in enumerate(stated_layers()) for name in layer}


def part_of(module: str) -> str:
    """`okazja._core.scheduler` is of the part `_core`."""
    return module.split(".")[1]


def for_typing_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}


def import_statements(
    node: ast.AST, at_import: bool = True
) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child, at_import
        else:
            deferred = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from import_statements(child, at_import and not deferred and not for_typing_only(child))


def named_modules(importer: str, statement: ast.Import | ast.ImportFrom) -> Iterator[str]:
    if isinstance(statement, ast.Import):
        yield from (alias.name for alias in statement.names)
        return
    source = statement.module or ""
    if statement.level:
        package = importer.split(".")
        steps = statement.level - (MODULES[importer].name == "__init__.py")
        source = ".".join([*package[: len(package) - steps], *filter(None, [source])])
    for alias in statement.names:
        submodule = f"{source}.{alias.name}"
        yield submodule if submodule in MODULES else source


def imports_of(module: str) -> list[Import]:
    tree = ast.parse(MODULES[module].read_text("utf-8"))
    return [
        Import(module, imported, statement.lineno, at_import)
        for statement, at_import in import_statements(tree)
        for imported in named_modules(module, statement)
    ]


IMPORTS = [found for module in MODULES for found in imports_of(module)]
INTERNAL = [found for found in IMPORTS if found.imported.split(".")[0] == "okazja"]


def joins_all(module: str) -> bool:
    return module in JOINS_ALL or module.startswith("okazja.testing.")


def allowed(found: Import) -> bool:
    if joins_all(found.importer):
        return True
    if joins_all(found.imported):
        return False
    importer, imported = part_of(found.importer), part_of(found.imported)
    return importer == imported or RANKS[importer] < RANKS[imported]


def test_every_module_belongs_to_a_layer() -> None:
    homeless = [module for module in MODULES if not joins_all(module) and part_of(module) not in RANKS]
    assert not homeless


def test_every_import_of_okazja_names_a_module_that_exists() -> None:
    assert not [str(found) for found in INTERNAL if found.imported not in MODULES]


def test_each_layer_imports_only_from_those_to_its_right() -> None:
    assert not [str(found) for found in INTERNAL if not allowed(found)]


def test_decisions_are_pure() -> None:
    impure = [
        str(found)
        for found in IMPORTS
        if found.importer.startswith("okazja._core") and found.imported.split(".")[0] in IMPURE
    ]
    assert not impure


def test_no_module_is_imported_in_a_cycle() -> None:
    graph: dict[str, set[str]] = {module: set() for module in MODULES}
    for found in INTERNAL:
        if found.at_import:
            graph[found.importer].add(found.imported)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import os.path, okazja.errors", [("os.path", True), ("okazja.errors", True)]),
        ("def f():\n    from okazja import errors", [("okazja.errors", False)]),
        ("if TYPE_CHECKING:\n    from okazja.errors import BadInput", [("okazja.errors", False)]),
        ("from okazja.errors import BadInput", [("okazja.errors", True)]),
        ("class C:\n    from ..errors import BadInput", [("okazja.errors", True)]),
        ("try:\n    from . import board\nexcept ImportError:\n    pass", [("okazja._transport.board", True)]),
    ],
)
def test_reads_every_form_of_import(source: str, expected: list[tuple[str, bool]]) -> None:
    importer = "okazja._transport.board"  # relative imports start here
    found = [
        (imported, at_import)
        for statement, at_import in import_statements(ast.parse(source))
        for imported in named_modules(importer, statement)
    ]
    assert found == expected
