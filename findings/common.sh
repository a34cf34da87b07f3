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

# install_node NAME@VERSION...: into the folder, where node finds them.
install_node() {
    npm install --silent --no-fund --no-audit --no-package-lock --prefix "$folder" "$@"
}

# install_debian NAME=VERSION...: unpacks them in the folder, with what they need and the system lacks.
install_debian() {
    local others package
    others=$(apt-get --simulate --no-install-recommends install "$@" | awk '/^Inst/ { print $2 }')
    apt-get download -qq "$@" $others 2>/dev/null
    for package in *.deb; do dpkg -x "$package" .; done
    export LD_LIBRARY_PATH
    LD_LIBRARY_PATH=$(printf '%s:' "$folder"/{usr/,}lib/*-linux-gnu)
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
