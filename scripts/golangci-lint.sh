#!/usr/bin/env bash
# Runs the one version of golangci-lint that the project uses. It is built into
# bin/ unless the machine has that version already.
set -euo pipefail
cd "$(dirname "$0")/.."

version=2.15.0

usable() { [ -x "$1" ] && "$1" version 2>/dev/null | grep -qF "version $version "; }

for lint in "$PWD/bin/golangci-lint" "$(command -v golangci-lint || true)" "$(go env GOPATH)/bin/golangci-lint"; do
  if usable "$lint"; then
    exec "$lint" "$@"
  fi
done
GOBIN="$PWD/bin" go install "github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v$version"
exec "$PWD/bin/golangci-lint" "$@"
