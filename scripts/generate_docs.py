"""Write all generated pages and the dashboard; with --check only say which are outdated."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

GENERATORS = (
    "generate_cli.py",
    "generate_dashboard.py",
    "generate_events.py",
    "generate_failure_modes.py",
    "generate_metrics.py",
    "generate_settings.py",
)


def main() -> int:
    """Run every generator, also after one of them has failed."""
    folder = Path(__file__).parent
    codes = [subprocess.run([sys.executable, folder / name, *sys.argv[1:]]).returncode for name in GENERATORS]
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
