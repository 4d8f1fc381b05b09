# What .ci/run and .ci/full share: a scratch folder, servers of this run's own, and suites whose tests are counted.
export CI=true
pids=()
suites=0
cleanup() {
  local status=$?
  # SIGINT: PostgreSQL's fast shutdown, which waits for nobody; a Redis stops as well.
  for pid in "${pids[@]:-}"; do [ -n "$pid" ] && kill -INT "$pid" 2>/dev/null && wait "$pid" 2>/dev/null; done
  # The line with the counts closes a failed run, too.
  if [ "$suites" -gt 0 ]; then node .ci/count-tests.js "$scratch"/results || status=1; fi
  rm -rf "$scratch"
  exit "$status"
}
step() { printf '\n=== %s (%s s)\n' "$1" "$SECONDS"; }
# The caller's settings must not decide what is tested.
for name in $(compgen -e | grep '^TENANT_' || true); do unset "$name"; done

# A run makes and drops some thousand databases of 300 files each; on a disk, that is most of its time. They are kept in
# memory if there is enough of it and programs may run from there.
plentyKb=4000000
has_memory() {
  [ "$(df -k --output=avail /dev/shm 2>/dev/null | tail -n 1)" -gt "$plentyKb" ] &&
    [ "$(awk '/^MemAvailable/ { print $2 }' /proc/meminfo)" -gt $((2 * plentyKb)) ] &&
    findmnt --noheadings --output OPTIONS --target /dev/shm | grep -qv noexec
} 2>/dev/null
scratch=$(mktemp -d "$(has_memory && echo /dev/shm || echo "${TMPDIR:-/tmp}")/t2f-ci-XXXXXX")
trap cleanup EXIT
# Servers run as other users than this one.
chmod 755 "$scratch"
export TMPDIR=$scratch T2F_CACHE=$scratch/cache
mkdir "$scratch/results" "$T2F_CACHE"
echo "temporary files: $TMPDIR"

# suite [NODE] FILTER…: vitest on the package as it is built, with the Node of this machine or another major version.
suite() {
  local runner=()
  case ${1:-} in [0-9]*) runner=(node scripts/with-node.js "$1"); shift ;; esac
  suites=$((suites + 1))
  "${runner[@]}" npx --no-install vitest run --reporter=default --reporter=json --outputFile.json="$scratch/results/$suites.json" "$@"
}
listens() { node -e "const s=require('node:net').connect($1,'127.0.0.1',()=>process.exit(0));s.on('error',()=>process.exit(1));setTimeout(()=>process.exit(1),2000)"; }
need() { # need COMMAND PACKAGE
  command -v "$1" >/dev/null && return 0
  [ "$(id -u)" = 0 ] || { echo "$1 is missing and only root can install it" >&2; exit 1; }
  (apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$2") >/dev/null
}
start_redis() {
  if listens 6379; then
    TENANT_REDIS_URL=redis://127.0.0.1:6379
  else
    need redis-server redis-server
    redis-server --bind 127.0.0.1 --port 6399 --save '' --appendonly no --dir "$(mktemp -d)" >/dev/null &
    pids+=("$!")
    TENANT_REDIS_URL=redis://127.0.0.1:6399
  fi
  export TENANT_REDIS_URL
}
# Starts a PostgreSQL server for this run alone, which waits for no disk.
start_postgres() { # start_postgres BIN
  local bin=$1 folder as=()
  folder=$(mktemp -d "$scratch/server-XXXXXX")
  chmod 755 "$folder"
  printf postgres >"$folder/password"
  if [ "$(id -u)" = 0 ]; then
    as=(setpriv --reuid=postgres --regid=postgres --init-groups)
    chown -R postgres: "$folder"
  fi
  "${as[@]}" "$bin/initdb" --pgdata "$folder/data" --username postgres --pwfile "$folder/password" \
    --auth scram-sha-256 --encoding UTF8 --locale C.UTF-8 --no-sync >/dev/null
  local port
  port=$(node -e "const s=require('node:net').createServer().listen(0,'127.0.0.1',()=>{console.log(s.address().port);s.close()})")
  "${as[@]}" "$bin/postgres" -D "$folder/data" -c listen_addresses=127.0.0.1 -c port="$port" \
    -c unix_socket_directories='' -c max_connections=300 -c fsync=off -c authentication_timeout=10s >"$folder/log" 2>&1 &
  pids+=("$!")
  export TENANT_DATABASE_URL=postgres://postgres:postgres@127.0.0.1:$port/postgres
  for _ in $(seq 100); do node .ci/database-url.js "$TENANT_DATABASE_URL" >/dev/null 2>&1 && return 0; sleep 0.1; done
  cat "$folder/log" >&2
  return 1
}
# Tests that start servers of their own, or need none: one run of them is enough.
elsewhere=(
  test/composition/default-budget.test.ts test/composition/opening/report-trust.test.ts test/databases/server/tls.test.ts
  test/databases/embedded/embedded.test.ts test/databases/embedded/files.test.ts test/tenancy/start-and-stop/embedded.test.ts
  test/examples/quick-start.test.ts test/faults/build.test.ts test/faults/restart.test.ts test/package/types.test.ts
  'test/core/**' 'test/identity/**' 'test/resolve/**' 'test/docs/**'
  test/access/evaluator.test.ts test/access/hostile-paths.test.ts test/connections/allocation/simulation.test.ts
  'test/fleet/lint/**' test/schema/detect-kind.test.ts test/schema/sql-text.test.ts
  test/cli/access.test.ts test/cli/framework.test.ts test/cli/people.test.ts
  'test/cli/completion/**' 'test/cli/dev/**' 'test/cli/init/**' 'test/cli/output/**' 'test/cli/terminal/**'
)
