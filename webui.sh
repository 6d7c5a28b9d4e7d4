#!/bin/sh
# Starts Text Diffusion WebUI, from any folder. The first start installs what it needs into .venv beside this file.
#
#   ./webui.sh [options]         the page; --help lists options and commands
#   ./webui.sh test [options]    the tests; options are pytest's
#   ./webui.sh check [name ...]  the checks before the tests; names: format, lint, types, javascript
#
#   PYTHON=/path/to/python3      the Python (3.11 or newer) that makes .venv
#   TORCH_INDEX_URL=https://...  the package index to take torch from when .venv is made, for another build of it
#
# To install everything afresh, delete .venv.
set -eu
unset CDPATH
root=$(cd "$(dirname "$(readlink -f "$0" 2>/dev/null || echo "$0")")" && pwd -P)
venv=$root/.venv
python=$venv/bin/python
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 GRADIO_ANALYTICS_ENABLED=False

say() { printf '%s\n' "$*" >&2; } # standard output belongs to the program: `generate --json > file` is pure JSON
fail() { printf 'webui.sh: %s\n' "$*" >&2; exit 1; }

# fingerprint NAME: changes with NAME.txt and with the Python behind .venv
fingerprint() { { cat "$root/$1.txt"; "$python" -V; } 2>&1 | cksum; }

# installed NAME: whether .venv holds what NAME.txt asks for
installed() {
    [ ! -e "$venv/.unfinished" ] && [ -f "$venv/.$1" ] && [ "$(cat "$venv/.$1")" = "$(fingerprint "$1")" ]
}

make_venv() {
    base=${PYTHON:-python3}
    command -v "$base" >/dev/null 2>&1 ||
        fail "Python 3.11 or newer is needed, and '$base' is not there. Install it, or name one: PYTHON=/path/to/python3 $0"
    "$base" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "Python 3.11 or newer is needed, and '$base' is $("$base" -V 2>&1). Name another: PYTHON=/path/to/python3 $0"
    "$base" -c 'import ensurepip, venv' 2>/dev/null ||
        fail "'$base' cannot make a virtual environment. On Debian and Ubuntu: apt install python3-venv, then start again."
    say "Installing Python packages into $venv."
    say "  With the CPU build of torch: 0.3 GB to download, 1.4 GB on disk."
    say "  On Linux the default package index gives the CUDA build of torch instead: about 3 GB to download."
    say "  For another build stop now and set TORCH_INDEX_URL (see the top of webui.sh)."
    rm -rf "$venv"
    mkdir "$venv"
    : >"$venv/.unfinished"
    "$base" -m venv "$venv" </dev/null || fail "Making $venv failed; the lines above say why."
}

# pip_install ARGUMENTS: runs pip, shows the large downloads and what went wrong
pip_install() {
    log=$venv/install.log
    { "$python" -m pip install --progress-bar off "$@" 2>&1 && echo "webui.sh: done"; } </dev/null | tee "$log" |
        while IFS= read -r line; do
            case $line in
                *Downloading*" MB)") line=${line##*/}; say "  ${line##*Downloading }" ;;
                "Installing collected packages"*) say "  Unpacking $(($(printf '%s' "$line" | tr -cd , | wc -c) + 1)) packages ..." ;;
                ERROR*) say "  $(printf "%s" "$line" | cut -c 1-300)" ;;
            esac
        done
    [ "$(tail -n 1 "$log")" = "webui.sh: done" ] || {
        grep -q "^Installing collected packages" "$log" || rm "$venv/.unfinished"   # pip failed before it changed anything
        fail "Installing failed; everything pip said is in $log. The next start tries again."
    }
}

# install NAME ...: brings .venv in line with each NAME.txt. While .unfinished exists .venv is not to be trusted: the next
# start makes it anew, so an install that was interrupted anywhere repairs itself.
install() {
    if [ -e "$venv/.unfinished" ]; then
        say "The last install was interrupted; starting it over."
        make_venv
    elif ! "$python" -c "" >/dev/null 2>&1; then
        make_venv
    fi
    : >"$venv/.unfinished"
    for name; do
        installed_now=$(fingerprint "$name")
        [ "$(cat "$venv/.$name" 2>/dev/null)" != "$installed_now" ] || continue
        say "Installing $name.txt ..."
        if [ "$name" = requirements ] && [ -n "${TORCH_INDEX_URL:-}" ]; then
            pip_install --index-url "$TORCH_INDEX_URL" "$(grep '^torch==' "$root/requirements.txt")"
        fi
        pip_install -r "$root/$name.txt"
        printf '%s\n' "$installed_now" >"$venv/.$name"
    done
    rm "$venv/.unfinished"
    say "Installed."
}

# need NAME ...: installs what is missing; a second start waits for the first one's install (where flock exists)
need() {
    for name; do installed "$name" || missing=yes; done
    [ "${missing:-}" ] || return 0
    (
        if command -v flock >/dev/null 2>&1; then
            flock -n 9 || { say "Another start is installing; waiting for it ..."; flock 9; }
        fi
        for name; do installed "$name" || { install "$@" 9>&-; break; }; done
    ) 9>"$root/.venv.lock"
}

# need_axe: axe-core for the test of accessibility, from the package index; without it that test is skipped
need_axe() {
    "$python" -c "import axe_playwright_python" 2>/dev/null ||
        "$python" -m pip install --quiet --disable-pip-version-check --no-input --no-deps axe-playwright-python==0.1.8 \
            </dev/null >"$venv/axe.log" 2>&1 ||
        say "axe-core could not be fetched (see $venv/axe.log): the test of accessibility is skipped."
}

# need_browser: the tests of the page drive the system's chromium
need_browser() {
    for name in chromium chromium-browser google-chrome google-chrome-stable; do
        if command -v "$name" >/dev/null 2>&1; then return 0; fi
    done
    if ! command -v apt-get >/dev/null 2>&1; then
        say "No chromium found, and no apt-get to install it with: install chromium for the tests of the page."
        return 0
    fi
    if [ "$(id -u)" = 0 ]; then sudo=; else sudo="sudo -n"; fi
    say "Installing Debian's chromium for the tests of the page (up to 140 MB to download) ..."
    { $sudo apt-get -qq update && $sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends \
        chromium fonts-liberation fonts-dejavu-core; } </dev/null >"$venv/chromium.log" 2>&1 ||
        say "Installing chromium failed (see $venv/chromium.log): install it as root, apt-get install chromium."
}

# check NAME: one check. None of them downloads anything: the tools are in the packages of requirements-test.txt.
check() {
    bin=$venv/bin
    say "check: $1"
    case $1 in
        format) "$bin/ruff" format --check . ;;
        lint) "$bin/ruff" check . ;;
        types) PYRIGHT_PYTHON_IGNORE_WARNINGS=1 "$bin/pyright" --pythonpath "$python" ;;
        javascript)
            export DENO_DIR="$venv/deno" DENO_NO_UPDATE_CHECK=1 NO_COLOR=1
            "$bin/deno" lint && "$bin/deno" check --no-remote --no-npm --quiet webui extensions
            ;;
        *) fail "no check is called '$1'; there are format, lint, types, javascript." ;;
    esac
}

case ${1:-} in
    test)
        shift
        need requirements requirements-test
        need_browser
        need_axe
        cd "$root"
        exec "$python" -m pytest "$@"
        ;;
    check)
        shift
        [ $# != 0 ] || set -- format lint types javascript
        need requirements requirements-test
        cd "$root"
        for name; do check "$name" || fail "the check '$name' failed; the lines above say where."; done
        exit 0
        ;;
esac
need requirements
exec "$python" "$root/app.py" "$@"
