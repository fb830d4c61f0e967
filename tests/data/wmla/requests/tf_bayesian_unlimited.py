hpo_input = {
    "modelSpec": {
        "sigName": "tf-sig",
        "args": "--exec-start tensorflow --conda-env-name dlipy3 --numWorker 1 --numPs 0 " +
                "--workerDeviceType cpu --ig /gpu --workerMemory 4g --driverMemory 2g " +
                "--model-main cnn.py --model-dir tf_cnn -- --epochs 3",
    },
    "algoDef": {
        "algorithm": "Bayesian",
        "maxRunTime": 30,
        "maxJobNum": -1,
        "maxParallelJobNum": "1",
        "objectiveMetric": "val_loss",
        "objective": "Minimize",
        "additionalMetrics": None,
        "algoParams": [
            {"name": "InitPoints", "value": "2"},
            {"name": "CubeSize", "value": "1000"},
            {"name": "Noiseless", "value": "True"},
        ],
    },
    "hyperParams": [
        {"name": "dropout", "type": "Range", "dataType": "double", "minDbVal": 0, "maxDbVal": 0.9, "step": 0.1},
        {"name": "kernel", "type": "Range", "dataType": "int", "minIntVal": "1", "maxIntVal": "7", "step": "2"},
        {"name": "activation", "type": "Discrete", "dataType": "string", "discreteStrVal": ["relu", "tanh"]},
    ],
    "experiments": None,
}
