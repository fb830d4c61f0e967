import_free = {
    'modelSpec': {'args': '--exec-start PyTorch --model-main e.py --model-dir "elog model" --gpuPerWorker 0'},
    'algoDef': {'algorithm': 'Random', 'maxJobNum': 2, 'maxParalleJobNum': 1, 'maxParalleJob': 2, 'maxRunTime': 0.5,
                'objectiveMetric': 'accuracy', 'objective': 'maximize', 'additionalMetrics': {}},
    'hyperParams': [{'name': 'x', 'type': 'Discrete', 'dataType': 'INT', 'discreteIntVal': (1, 2, 3)}],
}
