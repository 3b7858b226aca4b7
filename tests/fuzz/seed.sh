#!/bin/sh
# Fills corpus/ with what real servers sent, one file each.
set -eu
cd "$(dirname "$0")"

# Lines of hex, each the whole of a file.
seed() {
    target=$1; shift
    mkdir -p "corpus/$target"
    sort -u | {
        n=0
        while read -r hex; do
            n=$((n + 1))
            printf '%s' "$hex" | xxd -r -p > "corpus/$target/captured-$n"
        done
    }
}

captures=../../crates/pgoutput/testdata
grep -hv '^#' "$captures"/*-frames.hex | seed replication_frame
ls "$captures"/*.hex | grep -v -e -frames.hex | xargs grep -hv '^#' | seed pgoutput_message

# BEGIN, a table's map and its rows, and a commit, as the target frames them, which has two bytes for a length.
awk '
    function event(kind, body) {
        size = length(body) / 2
        return sprintf("%02x00%02x%02x%s", kind, size % 256, int(size / 256), body)
    }
    FNR == 1 { maria = 0 }
    $1 == "flavor" { maria = $2 == "mariadb" }
    $1 == "map" { map = $2 }
    $1 == "rows" && length(map) < 131072 && length($3) < 131072 {
        begin = event(2, "0000000000000000000000000000424547494e")
        commit = event(16, "0100000000000000")
        print sprintf("%02x", maria) begin event(19, map) event($2, $3) commit
    }
' ../../crates/binlog/testdata/values/*.values | seed binlog_event

# Values in the text form, each behind its column: type, metadata, flags and collation.
awk '
    BEGIN {
        split("tinyint 1 smallint 2 mediumint 9 int 3 bigint 8 float 4 double 5 decimal 246 date 10 time 19 datetime 18 " \
            "timestamp 17 year 13 bit 16 enum 247 set 248 json 245 geometry 255 vector 242", word, " ")
        for (i = 1; i in word; i += 2) code[word[i]] = word[i + 1]
    }
    $1 == "table" { columns = 0 }
    $1 == "column" {
        split($0, part, "\t")
        type = part[2]
        sub(/[^a-z].*/, "", type)
        # Everything else is a string, in utf8mb4.
        column[++columns] = sprintf("%02x000600%02x", type in code ? code[type] : 15, 45)
    }
    $1 == "text" {
        for (i = 1; i <= columns; i++)
            if ($(i + 1) !~ /^[-=]$/) print column[i] $(i + 1)
    }
' ../../crates/binlog/testdata/values/*.values | seed binlog_value
