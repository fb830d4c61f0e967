"""A search as notebooks for WMLA 1.2 run it: Basic credentials, a tar of the model, the answer as a bare name.

Only the host and the credentials are those of this service; see README.md.
"""

# %%
import json
import os
import tarfile
import tempfile
import time

import requests

requests.packages.urllib3.disable_warnings()

HOST = os.environ.get("WMLA_HOST", "https://localhost:8642")
USER = (os.environ.get("WMLA_USER", "ann"), os.environ["WMLA_PASSWORD"])
ENDPOINT = HOST + "/platform/rest/deeplearning/v1"
HEADERS = {"accept": "application/json"}
MODEL_DIR = os.path.join(os.path.dirname(os.path.abspath(__file__)), "model")
req = requests.Session()

# %% log on, and look whether the service is there
r = req.get(HOST + "/platform/rest/conductor/v1/auth/logon", auth=USER, headers=HEADERS, verify=False)
r.raise_for_status()
r = req.get(ENDPOINT + "/hypersearch", headers=HEADERS, verify=False)
print("searches so far:", [task["hpoName"] for task in r.json()])

# %% the request: a Python dict, with WMLA's own spellings
request = {
    "modelSpec": {
        "sigName": "dli-sig",
        "args": "--exec-start PyTorch --cs-datastore-meta type=fs \
                 --model-dir model --model-main train.py --epochs 30",
    },
    "algoDef": {
        "algorithm": "Random",
        "maxRunTime": -1,
        "maxJobNum": 6,
        "maxParalleJobNum": 2,
        "objectiveMetric": "loss",
        "objective": "minimize",
        "algoParams": [{"name": "RandomSeed", "value": "2"}],
    },
    "hyperParams": [
        {"name": "learning_rate", "type": "Range", "dataType": "DOUBLE", "minDbVal": -3, "maxDbVal": 0, "power": 10},
    ],
}

# %% the model: a tar of its folder
with tempfile.TemporaryDirectory() as folder:
    tar_path = os.path.join(folder, "model.modelDir.tar")
    with tarfile.open(tar_path, "w:gz") as tar:
        tar.add(MODEL_DIR, arcname="model")
    with open(tar_path, "rb") as f:
        r = req.post(
            ENDPOINT + "/hypersearch",
            headers=HEADERS,
            data={"data": json.dumps(request)},
            files={"file": f},
            verify=False,
        )
if not r.ok:
    raise SystemExit(f"submit failed: code={r.status_code}, {r.content}")
hpo_name = r.json()
print("submitted", hpo_name)

# %% wait for its end
task_url = ENDPOINT + "/hypersearch/" + hpo_name
task = req.get(task_url, headers=HEADERS, verify=False).json()
while task["state"] in ["SUBMITTED", "RUNNING"]:
    time.sleep(0.5)
    task = req.get(task_url, headers=HEADERS, verify=False).json()
print(f"{hpo_name}: {task['state']}, {task['progress']}")

# %% the best experiment: its parameters, its log, its files
best = task["best"]
print(f"best: loss {best['metricVal']:.5f} with", {p["name"]: p["fixedVal"] for p in best["hyperParams"]})
log = req.get(f"{ENDPOINT}/execs/{best['appId']}/log", headers=HEADERS, verify=False).json()
print(log.splitlines()[-1])
r = req.get(f"{ENDPOINT}/execs/{best['appId']}/result", headers=HEADERS, verify=False, stream=True)
total = int(r.headers["Content-Disposition"].split("size=")[1])
with open(best["appId"] + ".zip", "wb") as f:
    for chunk in r.iter_content(chunk_size=4096):
        f.write(chunk)
    print(f"wrote {f.tell()} of {total} bytes to {f.name}")

# %% remove the search
print("removed:", req.delete(task_url, headers=HEADERS, verify=False).status_code)
