"""Random search as a plugin: each value is drawn from its list, or from its range if it has one."""

import numpy as np
from plugins.core.base_plugin_opt import BasePluginOptimizer
from plugins.core.logger import logger

LISTS = {"DOUBLE": "discreteDbVal", "INT": "discreteIntVal", "STR": "discreateStrVal"}


class PluginOptimizer(BasePluginOptimizer):
    def __init__(self, name, hyper_parameters, **kwargs):
        super().__init__(name, hyper_parameters, **kwargs)
        self._space = hyper_parameters
        self._seen = []
        self._draws = np.random.RandomState(int(kwargs.get("random_seed", "0")))
        logger.info("%s searches %d hyperparameters with %s", name, len(hyper_parameters), kwargs)

    def search(self, number_samples, last_exp_results):
        if last_exp_results:
            self._seen.extend(last_exp_results)
            for result in last_exp_results:
                logger.info("experiment %s: %s with %s", result["id"], result["score"], result["params"])
        return [{entry["name"]: self._drawn(entry) for entry in self._space} for _ in range(number_samples)]

    def get_state(self):
        return {"draws": self._draws.get_state(), "seen": self._seen}

    def set_state(self, state):
        self._draws.set_state(state["draws"])
        self._seen = state["seen"]

    def _drawn(self, entry):
        kind = entry["dataType"]
        if entry["type"] == "Discrete":
            values = entry[LISTS[kind]]
            return values[self._draws.randint(len(values))]
        if kind == "INT":
            return self._draws.randint(entry["minIntVal"], entry["maxIntVal"] + 1)
        return self._draws.uniform(entry["minDbVal"], entry["maxDbVal"])
