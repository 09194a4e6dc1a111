#!/usr/bin/env bash
# npm run bench [-- NAME [options] | --check | --update-baseline | --table]: test/bench/run-benches.ts says more.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/packages.sh
export PATH="$PWD/node_modules/.bin:$PATH"
exec node test/bench/run-benches.ts "$@"
