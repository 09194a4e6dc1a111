#!/usr/bin/env bash
# npm run fault -- NAME [PART …] [--rounds N] [--seed N]: runs test/fault/NAME.fault.ts.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/packages.sh
export PATH="$PWD/node_modules/.bin:$PATH"
name=${1:-}
if [[ -z $name || ! -f test/fault/$name.fault.ts ]]; then
  echo "usage: npm run fault -- NAME [PART ...] [--rounds N] [--seed N], where NAME is one of:" >&2
  for file in test/fault/*.fault.ts; do basename "$file" .fault.ts; done >&2
  exit 64
fi
exec node "test/fault/$name.fault.ts" "${@:2}"
