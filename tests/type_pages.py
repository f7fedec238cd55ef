"""Type-checks the Python of README and docs, in one run of mypy; ``make lint`` calls it."""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent


def pages() -> list[Path]:
    """README and every page of docs."""
    return [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]


def python_blocks(page: Path) -> list[str]:
    """The page's Python, block by block, each on the lines that it has in the page."""
    text = page.read_text(encoding="utf-8")
    return [
        "\n" * text.count("\n", 0, found.start(1)) + found[1]
        for found in re.finditer(r"^```python\n(.*?)^```", text, re.S | re.M)
    ]


def main() -> int:
    """Write each block to a file, check them all, and hand on mypy's exit status."""
    with tempfile.TemporaryDirectory() as folder:
        for page in pages():
            for number, block in enumerate(python_blocks(page), 1):
                name = page.stem.replace("-", "_").lower()
                Path(folder, f"{name}_{number}.py").write_text(block, encoding="utf-8")
        files = sorted(map(str, Path(folder).glob("*.py")))
        return subprocess.run([sys.executable, "-m", "mypy", *files], cwd=REPOSITORY).returncode


if __name__ == "__main__":
    sys.exit(main())
