import hydra
from omegaconf import DictConfig


def instantiate_all(cfg):
    """The objects of a group of the configuration, such as all callbacks."""
    entries = cfg.values() if cfg else []
    return [hydra.utils.instantiate(one) for one in entries if isinstance(one, DictConfig) and "_target_" in one]
