#!/usr/bin/env bash
# Unit, architecture and integration tests. Sets up what it needs (npm packages) and needs no root.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/packages.sh
export PATH="$PWD/node_modules/.bin:$PATH"
if [ $# -gt 0 ]; then exec node --test "$@"; fi
# Globs are given in full: a bare `node --test` would run every file below test/.
exec node --test --test-timeout=120000 \
  '{server,agent,proto,transfer,images,scripts}/**/*.test.ts' 'test/*.test.ts' 'test/integration/**/*.test.ts' 'test/{support,bench}/**/*.test.ts'
