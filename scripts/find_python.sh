#!/bin/sh
# Prints the Python that .venv is made with, or says what this machine lacks. PYTHON=... decides it by hand.
set -eu

lack() {
    printf 'setup: %s\n' "$1" >&2
    exit 1
}

git_version=$(git --version 2>/dev/null) || lack "git is not installed; install git 2.38 or newer."
git_number=$(printf '%s\n' "$git_version" | sed 's/^[^0-9]*\([0-9]*\.[0-9]*\).*/\1/')
git_major=${git_number%%.*}
git_minor=${git_number#*.}
if [ "$git_major" -lt 2 ] || { [ "$git_major" -eq 2 ] && [ "$git_minor" -lt 38 ]; }; then
    lack "git $git_number is too old; install git 2.38 or newer (it can merge without a work tree)."
fi

seen=""
unable=""
for python in ${PYTHON:-python3.11 python3 python3.12 python3.13 python3.14}; do
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
    seen="$seen $python is $version;"
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || continue
    if "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        printf '%s\n' "$python"
        exit 0
    fi
    unable=${unable:-$python}
done

[ -z "$unable" ] || lack "$unable cannot make virtual environments; on Debian or Ubuntu: apt install python3-venv."
lack "Python 3.11 or newer is needed; found:${seen:- none;} point PYTHON at one, as in: make setup PYTHON=python3.12."
