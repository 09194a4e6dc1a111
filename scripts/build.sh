#!/usr/bin/env bash
# Builds into build/ what is not fresh: scripts/build.sh [all|agent|initramfs|test-os]... Needs no root.
set -euo pipefail
cd "$(dirname "$0")/.."
[ -x node_modules/.bin/node ] && [ node_modules/.package-lock.json -nt package-lock.json ] || npm ci --no-audit --no-fund
export PATH="$PWD/node_modules/.bin:$PATH"
exec node scripts/build.ts "$@"
