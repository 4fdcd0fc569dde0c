"""Installs the outside components that tests use, where this is Debian or Ubuntu and we may.

``python -m tests.components.install`` never fails: a component that cannot be
installed is one that the tests skip, and what they need is then said.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

# The program that shows that it is there, and Debian's package.
PACKAGES = {"prometheus": "prometheus", "prometheus-node-exporter": "prometheus-node-exporter"}


def main() -> int:
    """Install what is missing."""
    missing = [package for program, package in PACKAGES.items() if not shutil.which(program)]
    if not missing:
        print("All components are installed.")
    elif shutil.which("apt-get") is None or os.geteuid() != 0:
        print(f"Not installed, and this needs apt-get and root: {', '.join(missing)}.")
    else:
        # Its services are not wanted: the tests start their own.
        env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
        command = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *missing]
        subprocess.run(["apt-get", "update", "--quiet"], env=env, check=False)
        code = subprocess.run(command, env=env, check=False).returncode
        print(f"apt-get ended with {code}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
