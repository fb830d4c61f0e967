#!/usr/bin/env bash
# A pipeline of steps: prepares data, trains, prints what came out.
set -euo pipefail

LR=0.05
DEPTH=3
EPOCHS=4

while [[ $# -gt 0 ]]; do
  case "$1" in
    --lr)
      LR="$2"; shift 2 ;;
    --max-depth)
      DEPTH="$2"; shift 2 ;;
    --epochs) EPOCHS="$2"; shift 2 ;;
    *) echo "unknown option $1" >&2; exit 2 ;;
  esac
done

seq 1 20 > prepared.txt
for epoch in $(seq 1 "$EPOCHS"); do
  loss=$(awk -v lr="$LR" -v depth="$DEPTH" -v e="$epoch" 'BEGIN { d = lr - 0.1; print d * d * 10 + depth / 50 + 1 / e }')
  echo "epoch $epoch loss: $loss"
done
