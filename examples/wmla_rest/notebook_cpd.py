"""A search and a training as notebooks for WMLA in Cloud Pak for Data run them: a token, a lone script as the model,
an object as the answer. Only the host and the credentials are those of this service; see README.md.
"""

# %%
import base64
import json
import os
import time

import requests

requests.packages.urllib3.disable_warnings()

HOST = os.environ.get("WMLA_HOST", "https://localhost:8642")
USER, PASSWORD = os.environ.get("WMLA_USER", "ann"), os.environ["WMLA_PASSWORD"]
ENDPOINT = HOST + "/platform/rest/deeplearning/v1"
MODEL_MAIN = "train.py"
SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "model", MODEL_MAIN)

# %% log on: a token for all other calls
basic = base64.b64encode((USER + ":" + PASSWORD).encode("utf-8")).decode("utf-8")
body = {"username": USER, "password": PASSWORD}
a = requests.get(HOST + "/auth/v1/logon", headers={"Authorization": "Basic " + basic}, json=body, verify=False)
headers = {"accept": "application/json", "X-Auth-Token": a.json()["accessToken"]}

# %% what there is (these notebooks send a body with GET, too)
r = requests.get(ENDPOINT + "/hypersearch", headers=headers, json=body, verify=False)
for item in r.json():
    print(f"Hpo task: {item['hpoName']}, State: {item['state']}")
r = requests.get(ENDPOINT + "/execs/frameworks", headers=headers, verify=False)
print("frameworks:", ", ".join(framework["name"] for framework in r.json()))

# %% submit: the part with the model is called what the script is called
request = {
    "modelSpec": {
        "args": f"--exec-start PyTorch --workerDeviceNum 0 --cs-datastore-meta type=fs,data_path=. \
                 --appName line --model-main {MODEL_MAIN} --epochs 30 ",
    },
    "algoDef": {
        "algorithm": "Tpe",
        "maxRunTime": 60,
        "maxJobNum": 4,
        "maxParalleJobNum": 2,
        "objectiveMetric": "loss",
        "objective": "minimize",
    },
    "hyperParams": [
        {
            "name": "learning_rate", "type": "Range", "dataType": "DOUBLE", "minDbVal": 0.001, "maxDbVal": 0.5,
            "minIntVal": 0, "maxIntVal": 0, "discreteDbVal": [], "discreteIntVal": [], "discreateStrVal": [],
        }
    ],
}  # fmt: skip
with open(SCRIPT, "rb") as f:
    r = requests.post(
        ENDPOINT + "/hypersearch",
        headers=headers,
        data={"data": json.dumps(request)},
        files={MODEL_MAIN: f},
        verify=False,
    )
hpo_job = r.json()
print("submitted", hpo_job)

# %% poll it, and its experiments as jobs
while True:
    task = requests.get(HOST + hpo_job["href"], headers=headers, json=body, verify=False).json()
    jobs = [
        requests.get(ENDPOINT + "/execs/" + e["appId"], headers=headers, verify=False).json()
        for e in task["experiments"]
    ]
    if task["state"] not in ["SUBMITTED", "RUNNING"]:
        break
    time.sleep(0.5)
print(f"{task['state']} {task['progress']} of {task['algoDef']['algorithm']}")
print([(job["appId"].split("-")[0], job["state"]) for job in jobs])
print("best:", task["best"]["metricVal"], task["best"]["hyperParams"])

# %% one training, without a search
args = f"--exec-start PyTorch --model-main {MODEL_MAIN} --epochs 5"
with open(SCRIPT, "rb") as f:
    job = requests.post(ENDPOINT + "/execs?args=" + args, headers=headers, files={"file": f}, verify=False).json()
while job["state"] in ["SUBMITTED", "PENDING_CRD_SCHEDULER", "RUNNING"]:
    time.sleep(0.5)
    job = requests.get(ENDPOINT + "/execs/" + job["id"], headers=headers, verify=False).json()
url = ENDPOINT + "/scheduler/applications/{}/executor/1/logs/stdout?lastlines=1".format(job["appId"])
print(job["state"], requests.get(url, headers={**headers, "accept": "text/plain"}, verify=False).text)

# %% clean up
print("removed:", requests.delete(ENDPOINT + "/execs/" + job["id"], headers=headers, verify=False).status_code)
print("removed:", requests.delete(HOST + hpo_job["href"], headers=headers, verify=False).status_code)
