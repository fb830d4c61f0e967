data = {
    'modelSpec': {'args': '--exec-start PyTorch --model-main g.py --model-dir g'},
    'algoDef': {'algorithm': 'experimentgridsearch', 'maxRunTime': -1, 'maxJobNum': 2, 'maxParalleJobNum': 1,
                'objectiveMetric': 'loss', 'objective': 'minimize', 'algoParams': []},
    'fixedHyperParams': [{'name': 'epochs', 'dataType': 'INT', 'fixedVal': '2'}],
    'experiments': [
        {'id': 1, 'hyperParams': [{'name': 'units', 'dataType': 'int', 'fixedVal': '32', 'userDefined': False}]},
        {'id': 2, 'hyperParams': [{'name': 'units', 'dataType': 'int', 'fixedVal': '64', 'userDefined': False}]},
        {'id': 3, 'hyperParams': [{'name': 'units', 'dataType': 'int', 'fixedVal': '64', 'userDefined': False}]},
    ],
}
