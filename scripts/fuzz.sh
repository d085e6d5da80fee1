#!/usr/bin/env bash
# Runs every fuzz target of the module, one after the other, for a time each.
set -euo pipefail
cd "$(dirname "$0")/.."

time=${1:-10s}
packages=$(go list ./...)
for package in $packages; do
  tests=$(go test -list '^Fuzz' "$package") # fails where it does not compile
  for target in $(grep '^Fuzz' <<<"$tests" || true); do
    echo "== $package $target"
    go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" "$package"
  done
done
