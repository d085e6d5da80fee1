#!/usr/bin/env bash
# Fails and names the files when Go files are not formatted. Outside of a git
# checkout it looks at all of them.
set -euo pipefail
cd "$(dirname "$0")/.."

list() {
  if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
    git ls-files -z --cached --others --exclude-standard -- '*.go'
  else
    find . -path ./bin -prune -o -name node_modules -prune -o -name '*.go' -print0
  fi
}

files=$(list | while IFS= read -rd '' file; do
  [ ! -e "$file" ] || printf '%s\0' "$file" # it may be deleted and not committed yet
done | xargs -0 gofmt -l)
if [ -n "$files" ]; then
  printf 'not formatted, run make fix:\n%s\n' "$files" >&2
  exit 1
fi
