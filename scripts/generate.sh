#!/usr/bin/env bash
# Regenerates proto/gen from proto/**/*.proto and docs/actions.md (committed; `npm run check` verifies that they are fresh).
set -euo pipefail
cd "$(dirname "$0")/../proto"
export PATH="$PWD/../node_modules/.bin:$PATH"
rm -rf "${1:-gen}"
buf lint
buf generate --output "${2:-.}"
node ../scripts/write-action-reference.ts
