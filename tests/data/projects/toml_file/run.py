import csv
from pathlib import Path

import tomlkit

SETTINGS = tomlkit.parse((Path(__file__).parent / "settings.toml").read_text())


def main():
    rate, keep = SETTINGS["optimizer"]["learning_rate"], SETTINGS["optimizer"]["momentum"]
    x, speed = 4.0, 0.0
    with open("log.csv", "w", newline="") as f:
        writer = csv.DictWriter(f, fieldnames=["epoch", "loss"])
        writer.writeheader()
        for epoch in range(SETTINGS["training"]["epochs"]):
            speed = keep * speed - rate * 2 * x
            x += speed
            writer.writerow({"epoch": epoch, "loss": x * x})
            f.flush()


if __name__ == "__main__":
    main()
