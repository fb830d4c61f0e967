"""torchvision, or why it cannot be used here."""

from __future__ import annotations

from typing import Any

from hpo_trainees.shared_files import DataError

_found: Any = None
_problem = ""
try:
    # At the top of the module: in a preloaded study it is imported once, not in each trial.
    import torchvision as _found  # type: ignore[no-redef]
except ImportError:
    _problem = "torchvision is not installed: pip install 'hpo-engine[vision]'"
except RuntimeError as error:  # such as "operator torchvision::nms does not exist"
    _problem = f"torchvision does not fit the installed torch ({error}): pip install torch torchvision"


def need_torchvision() -> Any:
    """The package.

    Raises:
        DataError: it is not installed, or was built for another torch.
    """
    if _found is None:
        raise DataError(_problem)
    return _found
