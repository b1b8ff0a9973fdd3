#!/bin/sh
# Train the number recogniser for some minutes on a machine with an accelerator, all its cores composing.
#
#   sh tools/train-recogniser.sh MINUTES WORK
#
# WORK holds numbers.safetensors where training goes on, and gets it back, with log.csv and log. Glyphs are made from
# $INKSHIFT_DATA where WORK/glyphs is not there. The environment needs inkshift[study].
set -eu
minutes=${1:?minutes of training} work=${2:?folder of the checkpoint}
mkdir -p "$work"
hours=$(awk "BEGIN { print $minutes / 60 }")
PYTHONPATH="$(dirname "$0")/../src${PYTHONPATH:+:$PYTHONPATH}"
export PYTHONPATH
timeout --signal=INT $((minutes * 60 + 240)) \
    python -m inkshift model train numbers --out "$work/package" --work "$work" --hours "$hours" 2>&1 | tee -a "$work/log"
