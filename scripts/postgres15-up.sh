#!/usr/bin/env bash
# Starts a throwaway PostgreSQL 15 from Debian's packages on a free port of 127.0.0.1 and prints its URL as the last line.
# Running already: prints the URL again. `--stop` ends it and removes its data. Needs root, to install and to change user.
set -euo pipefail
# The user postgres may not be able to enter where this was called from.
cd /

state="${TMPDIR:-/tmp}/mcpctl-postgres15"
bin=/usr/lib/postgresql/15/bin

say() { echo "postgres15: $*" >&2; }
as_postgres() { runuser -u postgres -- "$@"; }
running() { [ -f "$state/url" ] && as_postgres "$bin/pg_ctl" --pgdata "$state/data" status >/dev/null 2>&1; }

if [ "$(id -u)" != 0 ]; then
  say 'run this as root: PostgreSQL is installed with apt-get and runs as the user postgres'
  exit 1
fi

# A directory that somebody else prepared in the shared place for temporary files is not to be trusted.
if [ -e "$state" ] && { [ -L "$state" ] || [ "$(stat -c %U "$state")" != postgres ]; }; then
  say "$state belongs to somebody else; remove it"
  exit 1
fi

if [ "${1:-}" = --stop ]; then
  if running; then as_postgres "$bin/pg_ctl" --pgdata "$state/data" --mode fast --wait stop >&2; fi
  rm -rf "$state"
  exit 0
fi

if [ ! -x "$bin/postgres" ]; then
  say 'installing postgresql-15'
  export DEBIAN_FRONTEND=noninteractive
  # The package would start a cluster of its own, which nobody here needs.
  mkdir -p /etc/postgresql-common
  [ -e /etc/postgresql-common/createcluster.conf ] || echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
  apt-get update -qq >&2
  apt-get install -y -qq --no-install-recommends postgresql-15 >&2
fi

if running; then
  cat "$state/url"
  exit 0
fi

rm -rf "$state"
install -d -m 0700 -o postgres -g postgres "$state"
umask 077
password="$(head -c 18 /dev/urandom | base64 | tr '+/' '-_')"
as_postgres tee "$state/password" >/dev/null <<<"$password"
as_postgres "$bin/initdb" --pgdata "$state/data" --username mcpctl --pwfile "$state/password" \
  --auth scram-sha-256 --encoding UTF8 --locale C.UTF-8 --no-sync --no-instructions >"$state/initdb.log" 2>&1 ||
  { cat "$state/initdb.log" >&2; exit 1; }

# The port is free when it is chosen; should somebody take it first, another is tried.
for _ in 1 2 3 4 5 6 7 8 9 10; do
  port=$((20000 + (RANDOM * 32768 + RANDOM) % 12000))
  options="-c listen_addresses=127.0.0.1 -p $port -c unix_socket_directories='' -c max_connections=300 -c fsync=off"
  if as_postgres "$bin/pg_ctl" --pgdata "$state/data" --log "$state/data/server.log" --options "$options" --wait start >&2; then
    echo "postgres://mcpctl:$password@127.0.0.1:$port/postgres" >"$state/url"
    cat "$state/url"
    exit 0
  fi
done
cat "$state/data/server.log" >&2
say 'it does not start; its log is above'
exit 1
