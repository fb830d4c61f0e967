# A notebook cell of the first generation: a dict, its args broken by backslashes inside the quotes.
data = {
    'modelSpec':
    {
        'sigName': 'dli-sig',
        'args': '--exec-start PyTorch --cs-datastore-meta type=fs,data_path=pytorch-mnist \
                 --python-version 3.7 --gpuPerWorker 1 --model-main pytorch_mnist_HPO.py --model-dir pytorch_mnist \
                 --debug-level info'
    },
    'algoDef':
    {
        'algorithm': 'Random',
        'maxRunTime': 60,
        'maxJobNum': 4,
        'maxParalleJobNum': 2,
        'objectiveMetric': 'loss',
        'objective': 'minimize'
    },
    'hyperParams':
    [
        {'name': 'learning_rate', 'type': 'Range', 'dataType': 'DOUBLE',
         'minDbVal': 0.001, 'maxDbVal': 0.1, 'step': '0.002'},
        {'name': 'momentum', 'type': 'Discrete', 'dataType': 'DOUBLE', 'discreteDbVal': [0.5, 0.9, 0.99]},
        {'name': 'batch_size', 'type': 'Range', 'dataType': 'INT', 'minIntVal': 5, 'maxIntVal': 8, 'power': '2'},
    ]
}
