#!/bin/bash
# Measures everything of BENCHMARKS.md on this machine and renews its tables and plots. As root.
# Peers that apt offers are installed; those that cannot be are left out and named.
#   bash bench/run.sh                 everything, about half an hour with the build
#   bash bench/run.sh exec create     these parts only (see `pinfold-bench measure --help`)
set -euo pipefail
cd "$(dirname "$0")/.."

if command -v apt-get >/dev/null; then
    apt-get update -qq || true
    for package in bubblewrap crun runc runsc podman nginx-light wrk btrfs-progs util-linux curl; do
        dpkg -s "$package" >/dev/null 2>&1 \
            || DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package" \
            || echo "$package cannot be installed: left out" >&2
    done
fi

cargo build --profile dist --locked -p pinfold -p pinfold-bench
target=${CARGO_TARGET_DIR:-target}
# crun, and podman with it, refuse a hybrid layout of cgroups. There everybody sees its v1 part alone.
alone=()
if mountpoint -q /sys/fs/cgroup/unified; then
    alone=(unshare --mount --propagation private sh -c 'umount /sys/fs/cgroup/unified && exec "$@"' alone)
fi
"${alone[@]}" "$target/dist/pinfold-bench" measure --results bench/results "$@"
"$target/dist/pinfold-bench" report bench/results --document BENCHMARKS.md
