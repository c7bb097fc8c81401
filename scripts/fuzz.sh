#!/usr/bin/env bash
# Mutated requests through everything that reads OTLP in process, and through a server of its own; prints what it found.
#   npm run fuzz -- [--requests N] [--in-process N] [--seed N] [--minutes N]
# --minutes ends the server's part earlier, after the round in which they are over; what was sent until then is said.
set -euo pipefail

requests=100000
in_process=
minutes=
seed=$((RANDOM * 32768 + RANDOM))

while [ $# -gt 0 ]; do
  if ! [[ ${2:-} =~ ^[0-9]+$ ]]; then
    echo "fuzz.sh: $1 is '${2:-}', expected a whole number" >&2
    exit 2
  fi
  case $1 in
    --requests) requests=$2 ;;
    --in-process) in_process=$2 ;;
    --seed) seed=$2 ;;
    --minutes) minutes=$2 ;;
    *)
      echo "fuzz.sh: there is no option $1; there are --requests, --in-process, --seed and --minutes" >&2
      exit 2
      ;;
  esac
  shift 2
done

export FUZZ_REQUESTS=$requests FUZZ_IN_PROCESS=${in_process:-$requests} FUZZ_SEED=$seed
if [ -n "$minutes" ]; then export FUZZ_MINUTES=$minutes; fi
status=0
if [ "$FUZZ_IN_PROCESS" -gt 0 ]; then
  npx vitest run --project unit test/otlp/fuzz.test.ts || status=1
fi
npx vitest run --project hostile test/hostile/fuzz.test.ts || status=1
exit $status
