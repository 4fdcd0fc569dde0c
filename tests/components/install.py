"""Installs the outside components that tests use, where this is Debian or Ubuntu and we may.

``python -m tests.components.install`` never fails: a component that cannot be
installed is one that the tests skip, and what they need is then said. The
schemas of reports are fetched and not kept here, because not all of their
licences allow that.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from urllib.request import urlopen

# The program that shows that it is there, and Debian's package.
PACKAGES = {
    "prometheus": "prometheus",
    "prometheus-node-exporter": "prometheus-node-exporter",
    "victoria-metrics": "victoria-metrics",
    "xmllint": "libxml2-utils",
}
# Its libraries are other versions of ours, so it has an environment of its own.
PHOENIX = Path.home() / ".cache/muster-components/phoenix/bin/phoenix"
SCHEMAS = Path.home() / ".cache/muster-schemas"
_RAW = "https://raw.githubusercontent.com"
# Where each comes from, and its SHA-256: OASIS (OASIS IPR policy), reviewdog (MIT), Ant's by Windy Road (Apache-2.0),
# Jenkins's (MIT). GitLab publishes none for code quality.
OFFICIAL = {
    "sarif.json": (
        f"{_RAW}/oasis-tcs/sarif-spec/e0583813964ec43cea53b6b531b402866095ed1f/sarif-2.1/schema/sarif-schema-2.1.0.json",
        "c3b4bb2d6093897483348925aaa73af03b3e3f4bd4ca38cef26dcb4212a2682e",
    ),
    "rdjson.json": (
        f"{_RAW}/reviewdog/reviewdog/6c307503194f0f32bf1956c7fcd2877636338db6/proto/rdf/jsonschema/DiagnosticResult.json",
        "89b09042bc3f833f76c502ab793ee4fceba4bb75919498563b17f2be68569970",
    ),
    "junit-ant.xsd": (
        f"{_RAW}/windyroad/JUnit-Schema/cfa434d4b8e102a8f55b8727b552a0063ee9044e/JUnit.xsd",
        "147ff89ef34a82f9a1b2951e7cad251b98c9a7a48a0e0c8e44937141791f57a8",
    ),
    "junit-jenkins.xsd": (
        f"{_RAW}/jenkinsci/xunit-plugin/8c515de2804b3fd591a3b0f1ff8908a1b1a41887/src/main/resources/org/jenkinsci/plugins/xunit/types/model/xsd/junit-10.xsd",
        "a1a816f58d1bf95ebabf371994df0b9246dee66ea9572fbec4f9296f1b2c0ff6",
    ),
}


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
    if not PHOENIX.exists():
        place = PHOENIX.parents[1]
        subprocess.run([sys.executable, "-m", "venv", str(place)], check=False)
        pip = [str(place / "bin" / "python"), "-m", "pip", "install", "--quiet", "arize-phoenix"]
        print(f"pip install arize-phoenix ended with {subprocess.run(pip, check=False).returncode}.")
    for name in OFFICIAL:
        fetch(name)
    return 0


def fetch(name: str) -> None:
    """Bring a schema into the cache, if it is the one that the tests know."""
    place, (address, digest) = SCHEMAS / name, OFFICIAL[name]
    try:
        if not place.is_file():
            with urlopen(address, timeout=30) as answer:
                data = answer.read()
            if sha256(data).hexdigest() != digest:
                print(f"{address} is not the file that the tests know.")
                return
            SCHEMAS.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
    except OSError as error:
        print(f"{address} cannot be fetched: {error}.")


if __name__ == "__main__":
    sys.exit(main())
