# Sourced by the studies' run.sh.

# run_piece FOLDER [OPTION ...]: run the simulation in a folder ('mixpi run' with the options);
# one that was stopped, or killed, goes on; one that is done is left as it is.
run_piece() {
    local folder=$1 newest
    shift
    is_done "$folder" && return
    # what was written last: a state to go on from, or the input
    newest=$(cd "$folder" && { ls -t RESTART md.checkpoint input.xml 2>/dev/null || true; } | head -n 1)
    (cd "$folder" && mixpi run "$newest" --quiet "$@")
    is_done "$folder" || { echo "$folder was stopped; call again to go on" >&2; return 1; }
}

is_done() {
    grep -qs '"status": "finished"' "$1/mixpi.report.json"
}
