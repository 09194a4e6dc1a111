#!/usr/bin/env bash
# Installs what building, the demo and the end-to-end tests need: Debian packages (as root, only missing ones) and npm
# packages. Runs as often as you like.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(
  # building the boot environment and the test systems
  dpkg bzip2 binutils binutils-aarch64-linux-gnu xz-utils gdisk mtools dosfstools e2fsprogs
  grub-common grub-pc-bin grub-efi-amd64-bin
  # the Debian image of the end-to-end tests
  mmdebstrap debian-archive-keyring util-linux
  # boot loaders that the server hands out
  ipxe
  # virtual machines and their network
  qemu-system-x86 ovmf iproute2 radvd procps openssh-client
  # what benchmarks compare with; tests of decoding by igzip are skipped without isal
  curl zstd gzip isal
)

missing=()
for package in "${packages[@]}"; do
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)" = installed ] || missing+=("$package")
done

if [ ${#missing[@]} -gt 0 ]; then
  if [ "$(id -u)" -ne 0 ]; then
    echo "setup: these Debian packages are missing and only root can install them:" >&2
    echo "  sudo apt-get update && sudo apt-get install -y --no-install-recommends ${missing[*]}" >&2
    exit 77
  fi
  echo "setup: installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  # Without an update a fresh system knows no package at all. Mirrors fail now and then, and a system that has just started
  # may be at its own updates.
  apt=(apt-get -q -o Acquire::Retries=5 -o DPkg::Lock::Timeout=600)
  for pause in 10 30 60 60 fail; do
    "${apt[@]}" update >/dev/null || true # What is missing, the installation says.
    if "${apt[@]}" install -y --no-install-recommends "${missing[@]}" >/dev/null; then break; fi
    if [ "$pause" = fail ]; then exit 1; fi
    echo "setup: apt failed; again in $pause s" >&2
    sleep "$pause"
  done
fi

scripts/packages.sh
echo 'setup: everything is there'
