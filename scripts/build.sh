#!/usr/bin/env bash
# Builds into build/ what is not fresh: scripts/build.sh [all|agent|initramfs|test-os|archive|debian]... Needs no root.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/packages.sh
export PATH="$PWD/node_modules/.bin:$PATH"
exec node scripts/build.ts "$@"
