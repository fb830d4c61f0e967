#!/bin/sh
# Fits a polynomial to data/demand.csv by gradient descent. Needs a POSIX shell, awk, sed and tr, nothing else.
# Reads config.json, rewrites val_dict_list.json every ten epochs.
set -eu
export LC_ALL=C
export RESULT="${RESULT_DIR:-.}/val_dict_list.json"

# The config is one flat object of numbers: take it apart at its commas.
value() {
    tr -d '{}" \n' <config.json | tr ',' '\n' | sed -n "s/^$1://p"
}

awk -F, \
    -v degree="$(value degree)" -v rate="$(value learning_rate)" -v momentum="$(value momentum)" \
    -v l2="$(value l2)" -v epochs="$(value epochs)" '
    NR > 1 { n++; x[n] = ($1 - 13) / 20; weekend[n] = $2; y[n] = $3 / 10 }    # about -1 ... 1, and tens of MW

    # Features: 1, weekend, x, x^2, ... x^degree. Every fourth row is for validation.
    function predict(i,    sum, k, power) {
        sum = w[0] + w[1] * weekend[i]
        power = 1
        for (k = 1; k <= degree; k++) { power *= x[i]; sum += w[k + 1] * power }
        return sum
    }

    END {
        for (epoch = 1; epoch <= epochs; epoch++) {
            for (k = 0; k <= degree + 1; k++) slope[k] = l2 * w[k]
            squares = 0
            for (i = 1; i <= n; i++) {
                wrong = predict(i) - y[i]
                if (i % 4 == 0) { squares += wrong * wrong; continue }
                share = wrong / (n * 0.75)
                slope[0] += share
                slope[1] += share * weekend[i]
                power = 1
                for (k = 1; k <= degree; k++) { power *= x[i]; slope[k + 1] += share * power }
            }
            for (k = 0; k <= degree + 1; k++) {
                speed[k] = momentum * speed[k] - rate * slope[k]
                w[k] += speed[k]
            }
            rmse = 10 * sqrt(squares / int(n / 4))
            if (!(rmse < 1e6)) { print "diverged at epoch " epoch; break }
            if (epoch % 10) continue
            rows = rows (rows ? ",\n " : "") sprintf("{\"step\": %d, \"rmse\": %.6g}", epoch, rmse)
            print "[" rows "]" >"rows.tmp"
            close("rows.tmp")
            system("mv rows.tmp \"$RESULT\"")    # a reader sees the old list or the new one, never half
        }
        printf "degree %d, learning rate %g: rmse %.4f\n", degree, rate, rmse
    }
' data/demand.csv
