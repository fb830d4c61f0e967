#!/bin/sh
# Compiles train.c in the trial's own folder and runs it.
set -eu
cc -O2 -o train train.c -lm
exec ./train
