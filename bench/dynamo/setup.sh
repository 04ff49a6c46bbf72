#!/bin/sh
# bench/dynamo/setup.sh [MODEL.gguf]: install NVIDIA Dynamo 1.6.1 (frontend, router and mock engine; no GPU) for a
# comparison side by side. Prints the folder on stdout: its venv/bin/python and hf/ are what bench/stream/run.py uses.
# It lives in the cache ($STATOR_CACHE, default ~/.cache/stator), about 600 MB, and is made once; exits 1 with one clear
# line where it cannot be installed (another architecture, no package index, no network).
set -u
VERSION=1.6.1
here=$(cd "$(dirname "$0")" && pwd)
CACHE=${STATOR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/stator}

die() {
	echo "bench/dynamo: Dynamo $VERSION cannot be set up here: $*" >&2
	exit 1
}

recipe=$(cat "$here/requirements.txt" "$here/hf_folder.py" | sha256sum)
dir=$CACHE/dynamo-$VERSION-$(printf %.12s "$recipe")
log=$CACHE/dynamo-setup.log

# Every step's words go to the log; the last error line is shown.
step() {
	what=$1
	shift
	echo "  DYNAMO $what" >&2
	"$@" >>"$log" 2>&1 || die "could not $what: $(grep -iE 'error|no matching|not found' "$log" | tail -n 1) (all of it is in $log)"
}

make_dir() {
	case $(uname -sm) in
	"Linux x86_64" | "Linux aarch64") ;;
	*) die "its packages exist for Linux on x86_64 and aarch64 only, this is $(uname -sm)" ;;
	esac
	model=${1:-$("$here/../../scripts/model")} || die "there is no demo model to take the tokenizer from"
	mkdir -p "$CACHE" || die "could not make the cache folder $CACHE; STATOR_CACHE names another"
	: >"$log" || die "could not write to the cache folder $CACHE; STATOR_CACHE names another"
	rm -rf "$dir"
	pip="$dir/venv/bin/python -m pip install --quiet --disable-pip-version-check"
	step "make a virtual environment" python3 -m venv "$dir/venv"
	# shellcheck disable=SC2086
	step "install ai-dynamo $VERSION" $pip --no-deps "ai-dynamo==$VERSION" "ai-dynamo-runtime==$VERSION"
	# shellcheck disable=SC2086
	step "install what it needs" $pip -r "$here/requirements.txt"
	step "write its tokenizer folder" "$dir/venv/bin/python" "$here/hf_folder.py" "$model" "$dir/hf"
	: >"$dir/.complete"
}

[ -f "$dir/.complete" ] || make_dir "$@"
echo "$dir"
