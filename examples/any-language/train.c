/* Fits data/demand.csv by kernel ridge regression: no epochs, so there is one row in val_dict_list.json.
 * Reads config.json; needs the C library only. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST 1000

struct point { double temperature, weekend, demand; };

static struct point train[MOST], val[MOST];
static double matrix[MOST][MOST], weight[MOST];
static double width, weekend_distance, ridge;

/* The number that stands behind "name": in the flat object of config.json. */
static double setting(const char *text, const char *name) {
    char key[64];
    snprintf(key, sizeof key, "\"%s\":", name);
    const char *at = strstr(text, key);
    if (!at) {
        fprintf(stderr, "config.json has no %s\n", name);
        exit(1);
    }
    return strtod(at + strlen(key), NULL);
}

static FILE *opened(const char *path, const char *mode) {
    FILE *file = fopen(path, mode);
    if (!file) {
        perror(path);
        exit(1);
    }
    return file;
}

static double kernel(const struct point *a, const struct point *b) {
    double along = (a->temperature - b->temperature) / width;
    double across = (a->weekend - b->weekend) * weekend_distance;
    return exp(-0.5 * (along * along + across * across));
}

/* Solves (K + ridge I) weight = demand - mean by Cholesky decomposition, in place. */
static void fit(int n, double mean) {
    for (int i = 0; i < n; i++) {
        for (int j = 0; j <= i; j++) {
            double sum = kernel(&train[i], &train[j]) + (i == j ? ridge : 0);
            for (int k = 0; k < j; k++) sum -= matrix[i][k] * matrix[j][k];
            matrix[i][j] = i == j ? sqrt(sum) : sum / matrix[j][j];
        }
    }
    for (int i = 0; i < n; i++) {
        weight[i] = train[i].demand - mean;
        for (int k = 0; k < i; k++) weight[i] -= matrix[i][k] * weight[k];
        weight[i] /= matrix[i][i];
    }
    for (int i = n - 1; i >= 0; i--) {
        for (int k = i + 1; k < n; k++) weight[i] -= matrix[k][i] * weight[k];
        weight[i] /= matrix[i][i];
    }
}

int main(void) {
    char text[4096] = "", path[4096];
    FILE *file = opened("config.json", "r");
    text[fread(text, 1, sizeof text - 1, file)] = 0;
    fclose(file);
    width = setting(text, "width");
    weekend_distance = setting(text, "weekend_distance");
    ridge = setting(text, "ridge");

    int n = 0, held = 0, row = 0;
    double mean = 0;
    struct point p;
    file = opened("data/demand.csv", "r");
    if (fscanf(file, "%*[^\n]") == EOF) return 1; /* the header */
    while (fscanf(file, "%lf,%lf,%lf", &p.temperature, &p.weekend, &p.demand) == 3 && row < MOST) {
        if (++row % 4 == 0) {
            val[held++] = p;
        } else {
            train[n++] = p;
            mean += p.demand;
        }
    }
    fclose(file);
    mean /= n;
    fit(n, mean);

    double squares = 0;
    for (int i = 0; i < held; i++) {
        double guess = mean;
        for (int k = 0; k < n; k++) guess += weight[k] * kernel(&val[i], &train[k]);
        squares += (guess - val[i].demand) * (guess - val[i].demand);
    }
    double rmse = sqrt(squares / held);

    const char *folder = getenv("RESULT_DIR");
    snprintf(path, sizeof path, "%s/val_dict_list.json", folder ? folder : ".");
    file = opened(path, "w");
    fprintf(file, isfinite(rmse) ? "[{\"rmse\": %.9g}]\n" : "[{\"rmse\": NaN}]\n", rmse);
    fclose(file);
    printf("width %g, ridge %g: rmse %.4f\n", width, ridge, rmse);
    return 0;
}
