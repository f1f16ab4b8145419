#!/usr/bin/env bash
# Makes the image skeleton-lab-base:cpu: what pytorch/pytorch:*-runtime is to the images of this folder, for a machine
# without a GPU or without access to an image registry. It is the host's own Debian or Ubuntu (or Debian 12), with Python
# in a virtual environment at /opt/conda, so `python`, `python3` and `pip` are found as in the real one, and PyTorch's CPU
# build in the version of constraints.txt.
#
#   bash tools/make_cpu_base.sh             make it if it is missing; root also starts a Docker engine if none answers
#   bash tools/make_cpu_base.sh --rebuild   make it again
#   bash tools/make_cpu_base.sh --stop      stop the engine that an earlier call started
#   BASE_IMAGE=skeleton-lab-base:cpu bash build_all_images.sh
#
# Making it needs root, the network and about 3 GB of disk. What it keeps is in ~/.cache/skeleton_lab/engine.
set -euo pipefail

tag=skeleton-lab-base:cpu
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
state=${XDG_CACHE_HOME:-$HOME/.cache}/skeleton_lab/engine
certificates=/etc/ssl/certs/ca-certificates.crt
export DEBIAN_FRONTEND=noninteractive

fail() {
  echo "error: $*" >&2
  exit 2
}

# Installs what is missing: COMMAND=PACKAGE ...
need() {
  local missing=() pair
  for pair; do
    command -v "${pair%%=*}" >/dev/null || missing+=("${pair#*=}")
  done
  ((${#missing[@]})) || return 0
  command -v apt-get >/dev/null || fail "please install: ${missing[*]}"
  apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}" >"$state/apt.log" 2>&1 ||
    fail "apt-get could not install ${missing[*]} ($state/apt.log)"
}

start_engine() {
  need dockerd=docker.io docker=docker.io iptables=iptables
  rm -f "$state/pid"
  setsid nohup dockerd --data-root "$state/data" --pidfile "$state/pid" >"$state/dockerd.log" 2>&1 </dev/null &
  for _ in $(seq 60); do
    ! docker info >/dev/null 2>&1 || return 0
    sleep 0.5
  done
  fail "the Docker engine does not start: $(grep -i -m1 -E 'failed|error' "$state/dockerd.log" || echo "see $state/dockerd.log")"
}

stop_engine() {
  [[ -s $state/pid ]] || return 0
  kill "$(<"$state/pid")" 2>/dev/null || true
  for _ in $(seq 40); do
    [[ -e $state/pid ]] || return 0
    sleep 0.5
  done
}

# Which system, and from where: the host's own if it is one that has Python 3.10 or later, else Debian 12.
choose_system() {
  suite=bookworm mirror=https://deb.debian.org/debian components=main
  local id codename file found
  id=$(. /etc/os-release && echo "${ID:-}")
  codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
  case $id:$codename in
    debian:bookworm | debian:trixie) ;;
    ubuntu:jammy | ubuntu:noble) mirror=http://archive.ubuntu.com/ubuntu components=main,universe ;;
    *) return 0 ;;
  esac
  suite=$codename
  for file in "/etc/apt/sources.list.d/$id.sources" /etc/apt/sources.list; do
    [[ -s $file ]] || continue
    found=$(awk '$1 == "URIs:" || $1 == "deb" { for (i = 2; i <= NF; i++) if ($i ~ /^https?:/) { print $i; exit } }' "$file")
    [[ -z $found ]] || { mirror=$found && return 0; }
  done
}

# PyTorch's CPU build into $rootfs/wheels. First from where the host's pip looks, then from PyTorch's own index. Where
# neither has it, the image gets the default build of the same version, which works too and is larger.
fetch_torch() {
  local version python
  version=$(sed -n 's/^torch==\([^ ;]*\).*/\1/p' "$root/constraints.txt")
  python=$(chroot "$rootfs" python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  torch=torch==$version
  local download=(python3 -m pip download -q --no-deps --only-binary=:all: --python-version "$python" -d "$rootfs/wheels")
  mkdir -p "$rootfs/wheels"
  python3 -m pip --version >/dev/null 2>&1 || return 0
  "${download[@]}" "$torch+cpu" 2>/dev/null || "${download[@]}" --index-url https://download.pytorch.org/whl/cpu "$torch+cpu" 2>/dev/null ||
    echo "no CPU build of $torch within reach: taking the default one"
}

make_image() {
  local suite mirror components torch
  need debootstrap=debootstrap
  choose_system
  rootfs=$(mktemp -d "$state/rootfs.XXXX") # not local: the trap below outlives this function
  trap 'rm -rf "$rootfs"' EXIT
  debootstrap --variant=minbase --components="$components" --include=python3,python3-venv,ca-certificates,nano \
    "$suite" "$rootfs" "$mirror" >"$state/debootstrap.log" 2>&1 || fail "debootstrap failed: $(tail -n 1 "$state/debootstrap.log")"
  # The host's name servers and certificates (its own authorities, say of a proxy, are among them).
  cp --remove-destination /etc/resolv.conf "$rootfs/etc/resolv.conf"
  [[ ! -f $certificates ]] || cp "$certificates" "$rootfs$certificates"

  chroot "$rootfs" python3 -m venv /opt/conda
  fetch_torch
  env -u PIP_FIND_LINKS PIP_CERT="$certificates" chroot "$rootfs" \
    /opt/conda/bin/python -m pip install -q --no-cache-dir --find-links /wheels "$torch" numpy >"$state/pip.log" 2>&1 ||
    fail "pip could not install $torch: $(grep -m1 ERROR "$state/pip.log" || echo "see $state/pip.log")"
  rm -rf "$rootfs/wheels" "$rootfs"/var/cache/apt/archives/*.deb "$rootfs"/var/lib/apt/lists/*

  tar -C "$rootfs" -c . | docker import \
    --change 'ENV PATH=/opt/conda/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
    --change "ENV PIP_CERT=$certificates" --change "ENV SSL_CERT_FILE=$certificates" \
    --change 'WORKDIR /workspace' --change 'CMD ["/bin/bash"]' - "$tag" >/dev/null
}

case ${1:-} in
  "" | --rebuild | --stop) ;;
  -h | --help) sed -n '2,/^set/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" && exit ;;
  *) fail "unknown flag $1 (known: --rebuild, --stop)" ;;
esac
mkdir -p "$state"
if [[ ${1:-} == --stop ]]; then
  stop_engine
  exit
fi
if ! docker info >/dev/null 2>&1; then
  ((EUID == 0)) || fail "no Docker engine answers, and only root can start one: start Docker, or use sudo"
  start_engine
fi
if [[ ${1:-} != --rebuild ]] && docker image inspect "$tag" >/dev/null 2>&1; then
  echo "$tag is ready"
  exit
fi
((EUID == 0)) || fail "making $tag needs root (debootstrap): use sudo"
make_image
echo "$tag is ready ($(($(docker image inspect -f '{{.Size}}' "$tag") / 1000000)) MB)"
