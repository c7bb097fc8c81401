#!/usr/bin/env bash
# Builds the real programs that the tests run against, at pinned versions, into a cache that survives checkouts.
#   scripts/peers.sh NAME...     NAME: minio telemetrygen     (none: all of them)
#   scripts/peers.sh --path NAME prints where NAME is, and fails when it was not built.
# They come from the Go module proxy and need Go 1.24 or newer; MinIO takes about two minutes. What is built stays.
set -euo pipefail

MINIO=github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c
TELEMETRYGEN=github.com/open-telemetry/opentelemetry-collector-contrib/cmd/telemetrygen@v0.161.0

folder=${TEMPO_ACTORS_CACHE:-$HOME/.cache/tempo-actors}/peers

fail() {
  echo "peers.sh: $1" >&2
  exit "${2:-1}"
}

module() {
  case $1 in
    minio) echo "$MINIO" ;;
    telemetrygen) echo "$TELEMETRYGEN" ;;
    *) fail "there is no peer named '$1'; there are minio and telemetrygen" 2 ;;
  esac
}

# Built at another version than the pinned one is as good as not built.
is_built() {
  [ -x "$folder/$1" ] || return 1
  command -v go >/dev/null || return 0
  local wanted=${2##*@}
  go version -m "$folder/$1" | awk -v v="$wanted" '$1 == "mod" { found = ($3 == v) } END { exit !found }'
}

build() {
  local name=$1 module
  module=$(module "$name")
  if is_built "$name" "$module"; then
    echo "peers.sh: $name is there: $folder/$name"
    return
  fi
  command -v go >/dev/null || fail "building $name needs Go (https://go.dev/dl), which is not on the PATH" 3
  echo "peers.sh: building $name from $module"
  # Built aside and renamed, so that a build that was interrupted is not taken for a program.
  local aside
  aside=$(mktemp -d "$folder/.build-XXXXXX")
  if ! GOBIN=$aside GOFLAGS=-buildvcs=false go install "$module"; then
    rm -rf "$aside"
    fail "building $name failed; go's own words are above"
  fi
  mv "$aside/$name" "$folder/$name"
  rm -rf "$aside"
  echo "peers.sh: $name is built: $folder/$name"
}

if [ "${1:-}" = --path ]; then
  module "${2:-}" >/dev/null
  [ -x "$folder/$2" ] || fail "$2 is not built; run scripts/peers.sh $2"
  echo "$folder/$2"
  exit
fi

mkdir -p "$folder"
[ $# -gt 0 ] || set -- minio telemetrygen
for name in "$@"; do build "$name"; done
