#!/usr/bin/env bash
# A simulation of any length as a chain of SLURM jobs: each stops in order before its time
# limit and hands in the next one, which goes on from RESTART. Copy this file into the folder
# of the simulation, change what is marked with <--, and there
#
#   sbatch job.sh              # from the beginning
#   sbatch job.sh RESTART      # by hand, from where a chain was interrupted
#
# docs/clusters.md explains it.

#SBATCH --job-name=mixpi
#SBATCH --nodes=1
# <-- one task for each rank of LAMMPS and one for each MACE driver, as 'launch:' asks for them;
# i-PI takes hardly any time and needs no task of its own.
#SBATCH --ntasks=9
#SBATCH --cpus-per-task=1
# <-- one for each MACE driver; without GPUs remove it, and give the MACE task more CPUs
#SBATCH --gpus=1
#SBATCH --time=24:00:00
# <-- s before the time limit (SLURM may be a minute early) at which the batch shell (B:) is told:
# as much as a few steps take, and half a minute for RESTART and the end of all processes.
#SBATCH --signal=B:USR1@300
# A job that is put back into the queue would begin from its first argument once more.
#SBATCH --no-requeue

script=job.sh        # this file; the next job is made of it
input=${1:-input.xml}

cd "$SLURM_SUBMIT_DIR" || exit 1
# <-- what makes 'mixpi' known, e.g.
# module load python; source ~/mixpi/.venv/bin/activate

step_of() {  # that a RESTART is of; 0 for an input that says none
    local step
    step=$(sed -n 's:.*<step>[^0-9]*\([0-9]*\)[^0-9]*</step>.*:\1:p' "$1" 2>/dev/null | head -n 1)
    echo "${step:-0}"
}
first=$(step_of "$input")
begin=$(mktemp .job-XXXXXX)  # a time by the clock of the file system
mixpi run "$input" --quiet --no-reference &
mixpi=$!

# Bash acts on a signal while it waits for a job in the background, not for one in front.
trap 'kill -USR1 "$mixpi"' USR1  # the time limit is near
trap 'kill -TERM "$mixpi"' TERM  # scancel
while true; do
    wait "$mixpi"
    code=$?
    kill -0 "$mixpi" 2>/dev/null || break  # else a signal has ended the wait, not mixpi
done

last=$first
[ RESTART -nt "$begin" ] && last=$(step_of RESTART)  # an older one is another run's
rm -f "$begin"
if [ "$code" -eq 138 ]; then  # 128 + USR1: stopped in order
    if [ "$last" -gt "$first" ]; then
        sbatch --dependency="afterany:$SLURM_JOB_ID" "$script" RESTART && exit 0
    else
        echo "job.sh: no step was done before the time limit, and none would be in a next job" >&2
    fi
fi
exit "$code"
