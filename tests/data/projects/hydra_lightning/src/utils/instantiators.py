import hydra


def instantiate_all(cfg):
    """One object for each entry that has a _target_."""
    return [hydra.utils.instantiate(entry) for entry in (cfg or {}).values() if entry and "_target_" in entry]
