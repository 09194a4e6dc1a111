/** Where a node keeps what brings it up. */
export const NODE_FOLDER = '/var/lib/tinsmith';
export const BOOTSTRAP_SCRIPT = `${NODE_FOLDER}/bootstrap.sh`;

/**
 * The frame of a node's bootstrap script, which cloud-init runs once at the end of the first boot.
 *
 * cloud-init's own `phone_home` calls whatever became of the commands before it. This script calls home itself, and only when
 * everything before has worked: then the node is ready. When something fails it says so, and which part, in the same call
 * (`status` and `detail`), and ends with that status, so that `cloud-init status` shows an error, too; the node never
 * counts as ready.
 *
 * `body`: lines of bash. `step <words>` names what is being done, `fail <words>` ends with a sentence.
 */
export function bootstrapScript(metadataUrl: string, body: string): string {
  return `#!/bin/bash
# Written by Tinsmith; cloud-init runs it once. Its output is in /var/log/cloud-init-output.log.
set -Eeuo pipefail
umask 022
readonly phone_home=${shellText(`${metadataUrl}/phone-home`)}
current='begin'
scratch=$(mktemp -d)
readonly scratch

step() { current="$*"; echo "tinsmith: $current"; }
fail() { current="$current: $*"; exit 1; }

# call_home <status> <detail>: by whichever client there is; never through a proxy.
call_home() {
  local detail=\${2//[^[:print:]]/ }
  local body="{\\"status\\":\\"$1\\",\\"detail\\":\\"\${detail//[\\"\\\\]/ }\\"}"
  if command -v curl >/dev/null; then
    curl -fsS --noproxy '*' --max-time 20 --retry 10 --retry-delay 5 --retry-connrefused \\
      -o /dev/null -H 'content-type: application/json' --data-raw "$body" "$phone_home"
  elif command -v wget >/dev/null; then
    wget -q --no-proxy --tries=10 --waitretry=5 --retry-connrefused --timeout=20 \\
      -O /dev/null --header='content-type: application/json' --post-data="$body" "$phone_home"
  else
    local python
    python=$(command -v python3 || echo /usr/libexec/platform-python)
    "$python" -c 'import sys, urllib.request as r
headers = {"content-type": "application/json"}
r.build_opener(r.ProxyHandler({})).open(r.Request(sys.argv[1], sys.argv[2].encode(), headers), timeout=20)' \\
      "$phone_home" "$body"
  fi
}

finish() {
  local status=$?
  trap - EXIT
  rm -rf "$scratch"
  if [ "$status" -ne 0 ]; then
    echo "tinsmith: failed with status $status at: $current" >&2
    call_home failed "$current (status $status)" || true
  fi
  exit "$status"
}
trap finish EXIT

${body.trim()}

step 'call home'
call_home ready 'the node is up'
`;
}

/** One word of a shell, whatever is in it. */
export function shellText(value: string): string {
  return `'${value.replaceAll("'", `'\\''`)}'`;
}
