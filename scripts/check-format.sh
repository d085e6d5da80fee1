#!/usr/bin/env bash
# Fails and names the files when Go files are not formatted.
set -euo pipefail
cd "$(dirname "$0")/.."

files=$(git ls-files -z --cached --others --exclude-standard -- '*.go' | xargs -0 gofmt -l)
if [ -n "$files" ]; then
  printf 'not formatted, run make fix:\n%s\n' "$files" >&2
  exit 1
fi
