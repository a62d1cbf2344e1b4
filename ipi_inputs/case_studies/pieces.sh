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

# every_arm: call 'arm NAME TEMPERATURE' for all of $arms at all $temperatures; $runs times, of which
# $run is the number
every_arm() {
    local temperature name
    for run in $(seq "$runs"); do
        for temperature in $temperatures; do
            for name in $arms; do
                arm "$name" "$temperature"
            done
        done
    done
}

# write_once FILE COMMAND ...: a structure, by a command that gets the name of its output last;
# whole or not at all
write_once() {
    local file=$1 part
    shift
    [ -e "$file" ] && return
    part=$(dirname "$file")/part.extxyz
    mkdir -p "$(dirname "$file")"
    "$@" "$part" > /dev/null
    mv "$part" "$file"
}

# write_input TEMPLATE FOLDER NAME STEPS [SED_OPTION ...]: the i-PI input of a run, from one of the
# study's, with random numbers of its own, by its name; whole or not at all
write_input() {
    local template=$1 folder=$2 seed steps=$4
    seed=$(echo "$3" | cksum | cut -d ' ' -f 1)
    shift 4
    sed -e "s/<seed>[0-9]*/<seed>$seed/" -e "s/<total_steps>[0-9]*/<total_steps>$steps/" "$@" \
        "$template" > "$folder/input.xml.part"
    mv "$folder/input.xml.part" "$folder/input.xml"
}

# thermal TEMPERATURE: in $thermal, what makes write_input take it (K), and velocities of twice that
thermal() {
    thermal=(-e "/<velocities/s/'kelvin'>[^<]*/'kelvin'>$((2 * $1))/"
        -e "/<temperature/s/'kelvin'>[^<]*/'kelvin'>$1/")
}

# of_one_kind FOLDER FOUND: runs of an arm are one sample only if random numbers are all that they
# differ in; what they are of is kept with their results
of_one_kind() {
    local kind=$1/made_of arms twice
    mkdir -p "$2"
    # nor the height at which helium has left the slab of a shot
    sed -e '/<velocities/d' -e 's/<seed>.*<\/seed>//' -e '/ or z </d' "$1"/{mixing.yaml,input.xml} > "$kind"
    potentials_in "$1" >> "$kind"
    if [ ! -e "$2/made_of" ]; then
        if compgen -G "$2/*.json" > /dev/null; then
            echo "what the earlier runs in $2 were made of is not known: are they as this one?" >&2
        fi
        cp "$kind" "$2/made_of"
    elif ! diff "$2/made_of" "$kind" >&2; then
        echo "$1 is not made as the earlier runs in $2 (<: they, >: it)." >&2
        echo "Remove the folder of those that you do not want, and call again." >&2
        exit 1
    fi
    # nor are arms of other potentials beside it in the table
    arms=$(dirname "$2")
    twice=$(sed -n -E '/^[0-9]+ [0-9]+ [^ ]+$/p' "$arms"/*/made_of | sort -u | cut -d ' ' -f 3 | sort | uniq -d)
    if [ "$twice" ]; then
        echo "$1 has another" $twice "than other arms in $arms." >&2
        echo "Move that folder away to begin anew, and call again." >&2
        exit 1
    fi
}

# potentials_in FOLDER: checksum and length of each that mixing.yaml names: made anew it has the old name
potentials_in() {
    local file LC_ALL=C  # the order of names
    for file in "$1"/*.*; do
        if [[ -f $file && $file != *.extxyz ]] && grep -qF -- "${file##*/}" "$1/mixing.yaml"; then
            sums "$file"
        fi
    done
}

# sums FILE ...: checksum, length and name of each
sums() {
    local file
    for file; do (cd "$(dirname "$file")" && cksum "${file##*/}"); done
}

# of_these_potentials FOUND FILE ...: results that are there stand only beside those of the same
of_these_potentials() {
    local found=$1 now
    shift
    now=$(sums "$@")
    mkdir -p "$found"
    [ -e "$found/potentials" ] || echo "$now" > "$found/potentials"
    if ! echo "$now" | diff "$found/potentials" - >&2; then
        echo "The results in $found are of other potentials (<: they, >: now)." >&2
        echo "Move that folder away to begin anew, and call again." >&2
        exit 1
    fi
}

# unless_stopped COMMAND ...: whether it has worked; all ends where it was interrupted
unless_stopped() {
    local code=0
    "$@" || code=$?
    ((code < 128)) || exit "$code"
    return "$code"
}

# keep_report FOLDER FOUND: what says that a run is done and analysed; whole or not at all
keep_report() {
    cp "$1/mixpi.report.json" "$2/report.part"
    mv "$2/report.part" "$2/run.$run.json"
}

# only_timed FOLDER FOUND: with STEPS runs are made to see what a step takes, and their reports kept
only_timed() {
    [ "${STEPS:-}" ] || return 1
    keep_report "$1" "$2"
    rm "$1/mix.extxyz"
}

# end_if_timed: then there is nothing to be analysed
end_if_timed() {
    [ "${STEPS:-}" ] || return 0
    echo "what a step takes: results/$size/*/run.*.json"
    exit
}

is_done() {
    grep -qs '"status": "finished"' "$1/mixpi.report.json"
}

# is_at_rest NAME: whether 'mixpi relax --output NAME' has come to its end
is_at_rest() {
    grep -qs '"converged": true' "$1.json"
}
