#!/bin/sh
# Fills corpus/ with the captured messages, one file each.
set -eu
cd "$(dirname "$0")"
seed() {
    target=$1; shift
    mkdir -p "corpus/$target"
    grep -hv '^#' "$@" | sort -u | {
        n=0
        while read -r hex; do
            n=$((n + 1))
            printf '%s' "$hex" | xxd -r -p > "corpus/$target/captured-$n"
        done
    }
}
captures=../../crates/pgoutput/testdata
seed replication_frame "$captures"/*-frames.hex
seed pgoutput_message $(ls "$captures"/*.hex | grep -v -e -frames.hex)
