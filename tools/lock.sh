#!/bin/sh
# Renew requirements/*.txt from pyproject.toml: `tools/lock.sh UV [--upgrade]`. `make lock` calls it.
set -eu
cd "$(dirname "$0")/.."
uv=$1
shift

compile() {
    "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
        --custom-compile-command 'make lock' "$@"
}

backend=$(mktemp)
trap 'rm -f "$backend"' EXIT
sed -n 's/^requires = \["\(.*\)"\]$/\1/p' pyproject.toml >"$backend"
test -s "$backend"

compile "$@" pyproject.toml -o requirements/runtime.txt
compile "$@" --no-annotate "$backend" -o requirements/build.txt -c requirements/runtime.txt
compile "$@" --no-annotate --extra llm --group dev pyproject.toml "$backend" -o requirements/dev.txt \
    -c requirements/runtime.txt -c requirements/build.txt
for sdk in claude copilot microsoft; do
    compile "$@" --no-annotate --extra "$sdk" --group test pyproject.toml -o "requirements/sdk-$sdk.txt" \
        -c requirements/runtime.txt
done
compile "$@" --no-annotate --extra keyring pyproject.toml -o requirements/keyring.txt -c requirements/runtime.txt
