#!/bin/sh
# Predicts the demand of each hour as a weighted mean of similar hours: several small programs in a pipe.
# BANDWIDTH and WEEKEND_WEIGHT say how similar hours have to be.
set -eu
: "${BANDWIDTH:=3}" "${WEEKEND_WEIGHT:=1}" "${FOLDS:=5}"

table=data/demand.csv
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fold=0
while [ "$fold" -lt "$FOLDS" ]; do
    # Every FOLDS-th row is held out.
    tail -n +2 "$table" | awk -F, -v n="$FOLDS" -v k="$fold" 'NR % n == k' >"$work/held"
    tail -n +2 "$table" | awk -F, -v n="$FOLDS" -v k="$fold" 'NR % n != k' >"$work/rest"
    awk -F, -v h="$BANDWIDTH" -v w="$WEEKEND_WEIGHT" '
        FNR == NR { t[NR] = $1; day[NR] = $2; y[NR] = $3; rows = NR; next }
        {
            sum = 0; weight = 1e-300
            for (i = 1; i <= rows; i++) {
                d = (t[i] - $1) / h
                s = exp(-d * d / 2) * (day[i] == $2 ? 1 : exp(-w))
                sum += s * y[i]; weight += s
            }
            print sum / weight - $3
        }' "$work/rest" "$work/held" >>"$work/errors"
    fold=$((fold + 1))
    awk -v k="$fold" '{ s += $1 * $1 } END { printf "fold %d  rmse=%.5f\n", k, sqrt(s / NR) }' "$work/errors" | tee -a report.txt
done
