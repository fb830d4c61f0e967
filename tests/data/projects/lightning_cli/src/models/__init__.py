from .mlp import LitMLP  # noqa: F401
