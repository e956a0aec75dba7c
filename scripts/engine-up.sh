#!/usr/bin/env bash
# Installs and starts a Docker Engine on a Debian machine and gives it an image with this machine's node; no image registry is needed.
# Run it again and it only looks (0.1 s); a killed engine is started anew, and containers live through that. Needs root, apt and node.
#   ENGINE_SOCKET  where the engine listens        (/run/docker.sock)
#   ENGINE_STATE   its images and containers        (/var/lib/docker)
#   ENGINE_RUN     its run-time files               (/run/docker)
#   BASE_IMAGE     name of the image with node      (localhost/mcp-node-base:20)
set -euo pipefail

socket=${ENGINE_SOCKET:-/run/docker.sock}
state=${ENGINE_STATE:-/var/lib/docker}
run=${ENGINE_RUN:-/run/docker}
base=${BASE_IMAGE:-localhost/mcp-node-base:20}
pid_file=$run.pid
log=${ENGINE_LOG:-/var/log/dockerd.log}
start_seconds=60

fail() { echo "engine-up: $*" >&2; exit 1; }
engine() { curl -sS -f --unix-socket "$socket" "${@:2}" "http://engine$1"; }
answers() { engine /_ping --max-time 5 -o /dev/null 2>/dev/null; }

install_packages() {
  local missing=()
  command -v curl >/dev/null || missing+=(curl)
  command -v dockerd >/dev/null || missing+=(docker.io)
  command -v iptables >/dev/null || missing+=(iptables)
  # Only the static one runs in an image without a C library of its own.
  { [ -x /bin/busybox ] && ! ldd /bin/busybox >/dev/null 2>&1; } || missing+=(busybox-static)
  [ ${#missing[@]} -gt 0 ] || return 0
  [ "$(id -u)" = 0 ] || fail "installing ${missing[*]} needs root"
  command -v apt-get >/dev/null || fail "install ${missing[*]} first: this is no Debian machine"
  export DEBIAN_FRONTEND=noninteractive
  local out; out=$(mktemp)
  { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >"$out" 2>&1 ||
    { tail -20 "$out" >&2; fail "could not install ${missing[*]}"; }
  rm -f "$out"
}

# A pid file whose process is dead, a zombie or another program stops the next daemon from starting.
drop_stale() { # FILE PROGRAM
  [ -e "$1" ] || return 0
  local stat program=
  stat=$(cat "/proc/$(cat "$1")/stat" 2>/dev/null) || true
  if [[ $stat =~ \((.*)\)\ ([A-Z]) ]] && [[ ${BASH_REMATCH[2]} != [ZX] ]]; then program=${BASH_REMATCH[1]}; fi
  [ "$program" = "$2" ] || rm -f "$1"
}

start_engine() {
  [ "$(id -u)" = 0 ] || fail "starting the engine needs root"
  mkdir -p "$run"
  for _ in $(seq 10); do # one that is just stopping gets 5 s
    drop_stale "$pid_file" dockerd
    drop_stale "$run/containerd/containerd.pid" containerd
    [ -e "$pid_file" ] || break
    answers && return 0
    sleep 0.5
  done
  # --ip: a published port that names no address is on loopback only. --live-restore: containers outlive the daemon.
  # 9>&-: the daemon must not hold the lock below.
  setsid dockerd -H "unix://$socket" --data-root "$state" --exec-root "$run" --pidfile "$pid_file" \
    --ip 127.0.0.1 --live-restore --log-opt max-size=10m --log-opt max-file=2 >>"$log" 2>&1 </dev/null 9>&- &
  local pid=$!
  for _ in $(seq $((start_seconds * 10))); do
    answers && return 0
    kill -0 "$pid" 2>/dev/null || { tail -20 "$log" >&2; fail "the engine ended; its log is $log"; }
    sleep 0.1
  done
  tail -20 "$log" >&2
  fail "the engine does not answer after $start_seconds s; its log is $log"
}

copy_libraries() { # PROGRAM ROOT
  local library
  for library in $(ldd "$1" | grep -o '/[^ ]*') "$(dirname "$(ldd "$1" | grep -o '/[^ ]*libc\.so[^ ]*')")"/libnss_{files,dns}.so.2; do
    [ -e "$library" ] || continue
    mkdir -p "$2$(dirname "$library")"
    cp -L "$library" "$2$library"
  done
}

fill_root() { # NODE ROOT
  local node=$1 root=$2 applet npm
  chmod 755 "$root"
  mkdir -p "$root"/{bin,usr/bin,usr/lib/node_modules,etc/ssl/certs,root,home/node,app,dev,proc,sys,run,tmp,var/tmp}
  chmod 1777 "$root/tmp" "$root/var/tmp" # a tmpfs takes the mode of the directory that it covers
  cp -L "$node" "$root/usr/bin/node"
  copy_libraries "$node" "$root"
  npm=$(dirname "$(dirname "$node")")/lib/node_modules/npm
  if [ -d "$npm" ]; then
    cp -a "$npm" "$root/usr/lib/node_modules/npm"
    ln -s ../lib/node_modules/npm/bin/npm-cli.js "$root/usr/bin/npm"
    ln -s ../lib/node_modules/npm/bin/npx-cli.js "$root/usr/bin/npx"
  fi
  cp -L /bin/busybox "$root/bin/busybox"
  for applet in sh env cat ls echo id sleep kill ps true false touch mkdir rm cp mv head tail grep sed wc mount hostname ip nc wget dd stat printenv; do
    ln -s busybox "$root/bin/$applet"
  done
  ln -s ../../bin/env "$root/usr/bin/env"
  [ ! -f /etc/ssl/certs/ca-certificates.crt ] || cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
  printf 'root:x:0:0:root:/root:/bin/sh\nnode:x:1000:1000::/home/node:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n' >"$root/etc/passwd"
  printf 'root:x:0:\nnode:x:1000:\nnogroup:x:65534:\n' >"$root/etc/group"
  printf 'hosts: files dns\n' >"$root/etc/nsswitch.conf"
  chown -R 1000:1000 "$root/home/node" "$root/app"
}

# The image is made again when its recipe (this script, node, busybox) changes.
import_base() {
  local node recipe root query
  node=$(readlink -f "$(command -v node)") || fail "node is not on PATH"
  recipe=$({ cat "$0"; "$node" -v; stat -c '%s %Y' "$node" /bin/busybox; } | sha256sum | cut -c1-16)
  ! engine "/images/$base/json" --max-time 5 2>/dev/null | grep -q "\"recipe\":\"$recipe\"" || return 0
  root=$(mktemp -d)
  # shellcheck disable=SC2064
  trap "rm -rf '$root'" EXIT
  fill_root "$node" "$root"
  query="fromSrc=-&repo=${base%:*}&tag=${base##*:}&changes=ENV%20PATH=/usr/bin:/bin&changes=CMD%20%5B%22node%22%5D&changes=LABEL%20recipe=$recipe"
  tar -C "$root" -c . | engine "/images/create?$query" --max-time 120 -X POST -H 'Content-Type: application/x-tar' -T - -o /dev/null
}

# Two test runs may come at once.
exec 9>"${ENGINE_LOCK:-/run/lock/mcpctl-engine-up.lock}"
flock 9
install_packages
answers || start_engine
import_base
echo "engine up: unix://$socket, base image $base"
