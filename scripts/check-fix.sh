#!/usr/bin/env bash
# Fails and shows what "go fix" would change.
set -euo pipefail
cd "$(dirname "$0")/.."

changes=$(go fix -diff ./... 2>&1) || true
if [ -n "$changes" ]; then
  printf 'go fix would change this, run make fix:\n%s\n' "$changes" >&2
  exit 1
fi
