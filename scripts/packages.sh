#!/usr/bin/env bash
# Installs the npm packages that package-lock.json names, the pinned Node among them, unless they are there already.
# Not `npm ci`: it refuses a lock file without the packages of other platforms, which not every registry carries.
set -euo pipefail
cd "$(dirname "$0")/.."
installed=node_modules/.package-lock.json
if [ -x node_modules/.bin/node ] && [ "$installed" -nt package-lock.json ]; then exit 0; fi
echo 'installing npm packages'
npm install --fetch-retries=5 --no-save --no-audit --no-fund --loglevel=error
touch "$installed"
