{
    'modelSpec': {'sigName': 'edt', 'args':
        '--exec-start edtPyTorch --edt-options "maxWorkers=4" --model-dir edt --model-main main.py --numWorker 1'},
    'algoDef': {'algorithm': 'Tpe', 'maxRunTime': 120, 'maxJobNum': 40, 'maxParalleJobNum': 1, 'objectiveMetric': 'loss',
                'objective': 'minimize', 'algoParams': [{'name': 'WarmUp', 'value': '5'}]},
    'hyperParams': [{'name': 'lr', 'type': 'Range', 'dataType': 'DOUBLE', 'power': '10', 'minDbVal': '-5', 'maxDbVal': '-1',
                     'step': '1'}],
}
