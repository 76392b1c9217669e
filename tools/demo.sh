#!/bin/sh
# What `make demo` does once haymaker is installed: converge manifests/, show the result, say how to go on.
# Everything it makes is in .demo/ of this checkout, so it neither sees nor touches agents of yours.
set -eu
cd "$(dirname "$0")/.."
HAYMAKER_HOME=$PWD/.demo/home
PATH=$PWD/.venv/bin:$PATH
export HAYMAKER_HOME PATH

step() {
    printf '\n$ %s\n' "$*"
    "$@"
}

mkdir -p .demo
step haymaker apply -f manifests/ --wait 2>&1
step haymaker status
printf '\nThe publisher needed two attempts: what failed a check went back to it.\n'
printf '\n$ haymaker logs publisher\n'
haymaker logs publisher | grep -E '^(Attempt|   (passed|failed)|Goal)' | cut -c1-110
printf '\nThe report that log-analyst wrote, and that haymaker checked before it called the goal met:\n'
step cat .demo/shared/report.md

cat <<END

To look further, here and now:

    export HAYMAKER_HOME="\$PWD/.demo/home" PATH="\$PWD/.venv/bin:\$PATH"

    haymaker why log-analyst          the whole decision about one deployment
    haymaker logs log-analyst         what the agent wrote
    haymaker logs board               where the board serves the page
    haymaker runs publisher           the runs it had, with their verdicts
    haymaker plan -f manifests/       edit a manifest or a goal first: what would change
    haymaker apply -f manifests/      and make it so

To clean up:

    haymaker delete -f manifests/
END
