# Sourced by demo.sh and test.sh: an environment with everything, made once.
#
# Uses the active virtual environment if there is one, else .venv of this folder.
# $1: extras of the package, e.g. "lammps,mace,test".

mixpi_environment() {
    local root=$1 extras=$2 stamp want
    if [ -z "${VIRTUAL_ENV:-}" ]; then
        [ -x "$root/.venv/bin/python" ] || {
            local python
            for python in python3 python3.13 python3.12 python3.11; do
                "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break
            done
            "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
                echo "mixpi needs Python 3.11 or newer" >&2
                return 1
            }
            echo "making the environment $root/.venv (once)"
            "$python" -m venv "$root/.venv"
        }
        # shellcheck source=/dev/null
        source "$root/.venv/bin/activate"
    fi
    # Python looks into the current folder before it asks the editable install's own finder: a
    # folder named mixpi there, such as this clone, would be an empty package in its place.
    python - <<'END'
import sysconfig
from pathlib import Path

Path(sysconfig.get_path("purelib"), "mixpi_first.pth").write_text(
    "import sys; sys.meta_path.sort(key=lambda finder: not getattr(finder, '__module__', '')"
    ".startswith('__editable___mixpi_'))\n"
)
END
    # Installed already, from the same requirements? Then nothing is to be done.
    stamp="$VIRTUAL_ENV/.mixpi-installed"
    want="$root $extras $(cat "$root/pyproject.toml" "$root/constraints.txt" | cksum)"
    [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$want" ] && return 0
    echo "installing mixpi[$extras] and what it needs (a few minutes)"
    # torch first: alone, so that the constraint decides which build it is
    python -m pip install -q --disable-pip-version-check -c "$root/constraints.txt" torch
    python -m pip install -q --disable-pip-version-check -c "$root/constraints.txt" \
        -e "$root[$extras]"
    echo "$want" >"$stamp"
}
