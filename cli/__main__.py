"""``python -m trifuse.cli`` is the same command as ``trifuse``."""

from trifuse.cli.main import main

main()
