# Sourced by each finding: a folder of its own for what it installs, and a comparison with what was seen.
set -euo pipefail
findings=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
export PYTHONPATH=$findings PYTHONDONTWRITEBYTECODE=1

# install_python NAME==VERSION...: into an environment of its own, in which the script runs that follows.
install_python() {
    python3 -m venv "$folder/venv"
    "$folder/venv/bin/pip" install --quiet --disable-pip-version-check "$@"
    "$folder/venv/bin/pip" list --disable-pip-version-check --format=freeze >&2
    PATH=$folder/venv/bin:$PATH
}

# expect FILE: compares what a script printed with standard input.
expect() {
    if ! diff -u --label "seen when this was written" --label "seen now" - "$1"; then
        echo "$0: differs from what was seen when this was written" >&2
        exit 1
    fi
    cat "$1"
    echo "$0: as it was"
}
