#!/usr/bin/env bash
# Everything that has to hold before a commit: format, lint, types, dead code, generated code, architecture.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/packages.sh
export PATH="$PWD/node_modules/.bin:$PATH"

step() { printf '== %s\n' "$1"; }
step format && biome ci --linter-enabled=false .
step lint && oxlint --type-aware --deny-warnings .
step types && tsc
step 'dead code' && knip
step 'generated code' && node scripts/check-generated.ts
step architecture && node --test --test-reporter=dot test/architecture.test.ts
echo 'check: all clean'
