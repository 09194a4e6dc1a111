#!/usr/bin/env bash
# npm run bench -- NAME [options]: runs test/bench/NAME.bench.ts.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/packages.sh
export PATH="$PWD/node_modules/.bin:$PATH"
name=${1:-}
if [[ -z $name || ! -f test/bench/$name.bench.ts ]]; then
  echo "usage: npm run bench -- NAME [options], where NAME is one of:" >&2
  for file in test/bench/*.bench.ts; do basename "$file" .bench.ts; done >&2
  exit 64
fi
exec node "test/bench/$name.bench.ts" "${@:2}"
