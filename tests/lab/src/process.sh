# Signals to a server and its children. Sourced by nothing: the lab passes this text to `sh -c` with more below it.
# Needs /proc and nothing else: no pkill, no setsid.

# children PID: sets $children. PostgreSQL's backends are sessions of their own, so no process group covers them.
children() {
    children=
    for stat in /proc/[0-9]*/stat; do
        { read -r line < "$stat"; } 2>/dev/null || continue
        # After the command name, which may hold anything: state, parent, …
        set -- "$1" ${line##*) }
        if [ "$3" = "$1" ]; then
            stat=${stat#/proc/}
            children="$children ${stat%/stat}"
        fi
    done
}

# signal NAME PID: to the process and its children. The process is stopped first, so that no child is born meanwhile.
signal() {
    kill -STOP "$2" 2>/dev/null
    children "$2"
    kill "-$1" "$2" $children 2>/dev/null
}

# gone PID…: whether none of them runs.
gone() {
    for pid in "$@"; do
        { read -r line < "/proc/$pid/stat"; } 2>/dev/null || continue
        case ${line##*) } in
            Z* | X*)
                # A zombie runs no more, but while it has other threads those are still closing its files and ports.
                set -- "/proc/$pid/task/"*
                [ $# -le 1 ] || return 1
                ;;
            *) return 1 ;;
        esac
    done
}

# finish PID: kills the process and its children and returns when they are gone.
finish() {
    signal KILL "$1"
    until gone "$1" $children; do sleep 0.01; done
}
