"""A search through `ibm-wmla`, IBM's Python SDK for WMLA (pip install ibm-wmla). See README.md."""

import json
import os
import time

from ibm_cloud_sdk_core.authenticators import BasicAuthenticator
from ibm_wmla.wmla_api_v1 import DeepLearningImpactV1

HOST = os.environ.get("WMLA_HOST", "https://localhost:8642")
SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "model", "train.py")

service = DeepLearningImpactV1(BasicAuthenticator(os.environ.get("WMLA_USER", "ann"), os.environ["WMLA_PASSWORD"]))
service.set_service_url(HOST)
service.set_disable_ssl_verification(True)

request = {
    "modelSpec": {"sigName": "dli-sig", "args": "--exec-start PyTorch --model-main train.py --epochs 30"},
    "algoDef": {
        "algorithm": "Random", "maxJobNum": 4, "maxParalleJob": 2, "objectiveMetric": "loss", "objective": "minimize",
    },
    "hyperParams": [
        {"name": "learning_rate", "type": "Discrete", "dataType": "double", "discreteDbVal": [0.01, 0.1, 0.3]},
    ],
}  # fmt: skip
with open(SCRIPT, "rb") as f:
    created = service.start_hpo(file=f, data=json.dumps(request)).get_result()
print("submitted", created)

while (task := service.get_one_hpo(created["uid"]).get_result())["state"] in ("SUBMITTED", "RUNNING"):
    time.sleep(0.5)
print(task["state"], task["progress"], task["best"]["metricVal"])
print(service.get_platform_rest_deeplearning_exec_log(task["best"]["appId"]).get_result().splitlines()[-1])
service.delete_one_hpo(created["uid"])
