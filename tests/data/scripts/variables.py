import json
import os

LR = float(os.environ.get("LR", "0.01"))
BATCH = int(os.getenv("BATCH_SIZE", 32))
EPOCHS = int(os.environ.get("EPOCHS", 3))
OUT = os.environ.get("OUT_DIR", ".")

with open(os.path.join(OUT, "log.jsonl"), "w") as log:
    for epoch in range(EPOCHS):
        loss = abs(LR - 0.03) + BATCH / 1000 + 1 / (epoch + 1)
        log.write(json.dumps({"epoch": epoch, "val_loss": loss, "lr": LR}) + "\n")
        log.flush()
