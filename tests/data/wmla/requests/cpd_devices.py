# A notebook of the second generation (CPD).
hpo_input: dict = {
    "hpoName": "cpd-hpo-1",
    "modelSpec": {
        "args": '--exec-start PyTorch --workerDeviceNum 2 --workerDeviceType gpu --workerMemory 8g --msd-image-name '
                'wmlce:1.7 --msd-env NCCL_DEBUG=INFO --msd-priority 5 --username admin --password S3cret! '
                '--rest-host https://wmla.example --model-main=train.py --model-dir=cpd',
    },
    "algoDef": {
        "algorithm": "random", "maxRunTime": -1, "maxJobNum": 6, "maxParalleJob": 2,
        "objectiveMetric": "loss", "objective": "minimize",
        "algoParams": [{"name": "ResourceName", "value": "epochs"}, {"name": "RandomSeed", "value": 2}],
    },
    "hyperParams": [
        {"name": "lr", "type": "range", "dataType": "double", "minDbVal": 0.0, "maxDbVal": 1.0, "userDefined": False},
        {"name": "epochs", "type": "fix", "dataType": "int", "fixedVal": "3", "userDefined": False},
    ],
}
