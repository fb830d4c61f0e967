import csv


def load(path):
    with open(path, newline="") as f:
        return [(float(row["x"]), float(row["y"])) for row in csv.DictReader(f)]
