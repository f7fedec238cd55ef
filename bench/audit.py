"""Known weaknesses of the installed dependencies, by pip-audit; needs the network.

    pip install pip-audit
    python -m bench audit

Audits the versions that are installed here of what TriFuse needs, with its extras and all that
they need. The exit code is that of pip-audit: 1 if a weakness is known. Where pip-audit is not
installed, or no advisory database answers, it says so and ends with 2.
"""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

SECONDS = 300


def needed() -> dict[str, str]:
    """Name → installed version of TriFuse's dependencies and of theirs."""
    import tomllib

    project = tomllib.loads(
        (Path(__file__).resolve().parent.parent / "pyproject.toml").read_text(encoding="utf-8")
    )["project"]
    extras = [r for group in project.get("optional-dependencies", {}).values() for r in group]
    waiting = [_name(r) for r in (*project["dependencies"], *extras)]
    found: dict[str, str] = {}
    while waiting:
        name = waiting.pop()
        if name in found or name == "trifuse":
            continue
        try:
            found[name] = version(name)
            own = requires(name) or []
        except PackageNotFoundError:  # an extra that is not installed here
            continue
        waiting += [_name(r) for r in own if "extra ==" not in r]
    return found


def _name(requirement: str) -> str:
    return re.split(r"[^A-Za-z0-9._-]", requirement.strip(), maxsplit=1)[0].lower()


def main() -> int:
    found = needed()
    if importlib.util.find_spec("pip_audit") is None:
        print(f"{len(found)} packages are not audited: pip-audit is not installed")
        return 2
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder) / "requirements.txt"
        # A local build is the release that its number begins with.
        lines = (f"{name}=={number.split('+')[0]}" for name, number in sorted(found.items()))
        listed.write_text("\n".join(lines) + "\n", encoding="utf-8")
        command = [sys.executable, "-m", "pip_audit", "--no-deps", "--disable-pip"]
        try:
            done = subprocess.run(
                [*command, "-f", "json", "-r", str(listed)],
                capture_output=True,
                text=True,
                timeout=SECONDS,
                check=False,
            )
            report = json.loads(done.stdout)
        except (subprocess.TimeoutExpired, ValueError):
            print(f"{len(found)} packages are not audited: no advisory database answers")
            return 2
    weak = [d for d in report["dependencies"] if d.get("vulns")]
    for package in weak:
        for known in package["vulns"]:
            better = ", ".join(known.get("fix_versions") or []) or "none yet"
            print(f"{package['name']} {package['version']}: {known['id']}; mended in {better}")
    print(json.dumps({"audited": len(found), "weak": len(weak)}))
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
