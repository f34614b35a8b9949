"""Sizes, a compass: how long modules and functions of services/ are. Fails nothing."""

import ast
import statistics
from pathlib import Path

MODULE, FUNCTION = 400, 50


def main() -> None:
    """Print the table, and what is longer than the compass says."""
    functions, modules, long = [], [], []
    for path in sorted(Path("services").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        lines = text.count("\n")
        modules.append(lines)
        if lines > MODULE:
            long.append(f"  {path}: {lines} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                functions.append(length)
                if length > FUNCTION:
                    long.append(f"  {path}:{node.lineno} {node.name}: {length} lines")
    p90 = statistics.quantiles(functions, n=10)[-1]
    print(
        f"{len(modules)} modules, longest {max(modules)} lines; {len(functions)} functions,"
        f" median {statistics.median(functions):.0f}, p90 {p90:.0f}, longest {max(functions)}"
    )
    print("\n".join(long))


if __name__ == "__main__":
    main()
