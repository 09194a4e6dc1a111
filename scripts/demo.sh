#!/usr/bin/env bash
# From nothing to a provisioned VM: sets up, builds, starts a server in a private network namespace, powers a VM on.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh
export PATH="$PWD/node_modules/.bin:$PATH"
scripts/build.sh all
exec node scripts/demo.ts "$@"
