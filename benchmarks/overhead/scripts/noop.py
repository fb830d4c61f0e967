import json
import os

with open("config.json") as file:
    config = json.load(file)
with open(os.path.join(os.environ["RESULT_DIR"], "val_dict_list.json"), "w") as file:
    json.dump([{"step": 1, "loss": config["x"] ** 2}], file)
