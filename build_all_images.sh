#!/usr/bin/env bash
# Builds the image skeleton-lab:NAME of every NAME.docker in this folder, and stops at the first that fails.
#
#   bash build_all_images.sh                          # all
#   bash build_all_images.sh --only ctrgcn [NAME...]  # these (--only may be left out)
#
# On another base than pytorch/pytorch:2.3.0-...-runtime, by its tag or, to build the same again whatever the tag becomes,
# by its digest:
#
#   BASE_IMAGE=skeleton-lab-base:cpu bash build_all_images.sh
#   BASE_IMAGE=pytorch/pytorch@sha256:... bash build_all_images.sh
#
# PIP_INDEX_URL, PIP_EXTRA_INDEX_URL and PIP_TRUSTED_HOST of the environment are handed on to the stage of the build that
# installs packages. No image shows them, even if they hold a password; the builder's own cache does, on this machine,
# until `docker image prune` or `docker builder prune`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

fail() {
  echo "error: $*" >&2
  exit 2
}

names=()
for argument; do
  case $argument in
    -h | --help) sed -n '2,/^set/s/^# \{0,1\}//p' "$(basename "${BASH_SOURCE[0]}")" && exit ;;
    --only) ;;
    --only=*) names+=("${argument#--only=}") ;;
    -*) fail "unknown flag $argument (known: --only NAME...)" ;;
    *) names+=("$argument") ;;
  esac
done

shopt -s nullglob
known=(*.docker)
known=("${known[@]%.docker}")
((${#known[@]})) || fail "there is no *.docker file in $PWD"
for name in "${names[@]}"; do
  [[ -f $name.docker ]] || fail "there is no image '$name' (known: ${known[*]})"
done
((${#names[@]})) || names=("${known[@]}")

command -v docker >/dev/null || fail "docker is not installed, or not on PATH"
docker info >/dev/null 2>&1 || fail "no Docker engine answers: start it, or ask for the right to use it (docker info says more)"

options=()
[[ -z ${BASE_IMAGE:-} ]] || options+=(--build-arg "BASE_IMAGE=$BASE_IMAGE")
for variable in PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_TRUSTED_HOST; do
  [[ -z ${!variable:-} ]] || options+=(--build-arg "$variable")
done

for name in "${names[@]}"; do
  echo "============================================================"
  echo "Building skeleton-lab:$name from $name.docker"
  echo "============================================================"
  docker build "${options[@]}" -t "skeleton-lab:$name" -f "$name.docker" .
done
echo "All images built."
