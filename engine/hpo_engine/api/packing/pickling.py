"""A function and all that it uses as bytes, by cloudpickle: what a notebook or a program's `__main__` defines goes by
value, modules go by name and are imported in the trial.

Large arrays stand apart, one after the other, so that trials can map them into memory.
"""

from __future__ import annotations

import dis
import linecache
import pickle
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO
from types import CodeType, FunctionType, ModuleType
from typing import Any, BinaryIO

from hpo_engine.api.packing.unpicklable import culprit
from hpo_engine.errors import SpecError

_APART = 1 << 16  # bytes from which on a buffer stands apart
_ALIGNED = 64
_NOWHERE = "<dynamic-code>"
_PLAIN = frozenset((int, float, str, bytes, bool, type(None), list, tuple, dict, set))


@dataclass
class Packed:
    """`text`: two pickles, the function and the named things of `__main__`; `buffers`: (offset, bytes) in the data
    file; `modules`: names that it refers to or imports; `sources`: the text of the code that goes by value, by the name
    of its file."""

    text: bytes = b""
    buffers: list[tuple[int, int]] = field(default_factory=list)
    modules: set[str] = field(default_factory=set)
    sources: dict[str, str] = field(default_factory=dict)


def pack(function: Callable[..., Any], title: str, data: BinaryIO) -> Packed:
    """Pickles the function; large buffers are written to `data`.

    Raises:
        SpecError: something that it uses cannot be pickled (which), or cloudpickle is not installed.
    """
    packed, out = Packed(), BytesIO()

    def apart(buffer: pickle.PickleBuffer) -> bool:
        """Whether the buffer stays in the pickle."""
        raw = buffer.raw()
        if raw.nbytes < _APART:
            return True
        data.write(bytes(-data.tell() % _ALIGNED))
        packed.buffers.append((data.tell(), raw.nbytes))
        data.write(raw)
        return False

    pickler = _pickler_class()(out, packed, apart)
    try:
        pickler.dump(function)
        pickler.dump(dict(pickler.known))
    except Exception as error:
        raise _refused(function, title, error) from None
    packed.text = out.getvalue()
    return packed


def _pickler_class() -> Any:
    try:
        import cloudpickle
    except ImportError:
        raise SpecError("hpo.tune needs cloudpickle: pip install 'hpo-engine[notebook]'") from None

    class Pickler(cloudpickle.Pickler):
        """Notes what it sees. `known`: classes and functions of `__main__` by name."""

        def __init__(self, out: BytesIO, packed: Packed, apart: Callable[[pickle.PickleBuffer], bool]) -> None:
            super().__init__(out, protocol=5, buffer_callback=apart)
            self._packed = packed
            self.known: dict[str, Any] = {}

        def persistent_id(self, obj: Any) -> None:
            """Called with each object."""
            kind = type(obj)
            if kind in _PLAIN:
                return
            if kind is CodeType:
                self._note_code(obj)
            elif kind is ModuleType:
                self._packed.modules.add(obj.__name__)
            elif isinstance(obj, (type, FunctionType)):
                self._note_named(obj)
            else:
                self._packed.modules.add(kind.__module__)

        def reducer_override(self, obj: Any) -> Any:
            if isinstance(obj, CodeType):
                # cloudpickle leaves out where the code is from, which a traceback in a trial has to say.
                make, args = cloudpickle.Pickler.dispatch_table[CodeType](obj)
                return make, tuple(shown_name(obj.co_filename) if arg == _NOWHERE else arg for arg in args)
            if (found := _tensor(obj)) is not None:
                return found
            return super().reducer_override(obj)

        def _note_code(self, code: CodeType) -> None:
            self._packed.modules |= _imports(code)
            name = shown_name(code.co_filename)
            if name not in self._packed.sources and (lines := linecache.getlines(code.co_filename)):
                self._packed.sources[name] = "".join(lines)

        def _note_named(self, obj: Any) -> None:
            module = getattr(obj, "__module__", None)
            if module != "__main__":
                self._packed.modules.add(str(module))
            elif obj.__qualname__ == obj.__name__ and obj.__name__.isidentifier():
                self.known[obj.__name__] = obj

    return Pickler


def shown_name(filename: str) -> str:
    """What people call a file of code; a notebook's cell has its number, such as `Cell In[3]`."""
    try:
        shell = sys.modules["IPython"].get_ipython()
        found = shell.compile.format_code_name(filename)
    except (KeyError, AttributeError):  # not in IPython
        return filename
    return filename if found is None else " ".join(found)


def _tensor(obj: Any) -> Any:
    """How a large tensor that owns its memory is pickled, as an array would be; None for all else."""
    kind = type(obj)
    if kind.__module__ != "torch" or kind.__name__ != "Tensor":
        return None
    plain = obj.device.type == "cpu" and obj.layout.__str__() == "torch.strided" and obj.is_contiguous()
    size = obj.numel() * obj.element_size()
    if not plain or obj.requires_grad or size < _APART or obj.untyped_storage().nbytes() != size:
        return None
    from hpo_trainees.function import tensor_from

    raw = obj.flatten().view(_torch().uint8).numpy()
    return tensor_from, (pickle.PickleBuffer(raw), str(obj.dtype).partition(".")[2], tuple(obj.shape))


def _torch() -> Any:
    import torch  # a tensor exists, so it is imported

    return torch


def _imports(code: CodeType) -> set[str]:
    """Modules that the code imports when it runs."""
    return {str(step.argval) for step in dis.get_instructions(code) if step.opname == "IMPORT_NAME" and step.argval}


def _refused(function: Callable[..., Any], title: str, error: Exception) -> SpecError:
    def problem(part: Any) -> str | None:
        try:
            _pickler_class()(BytesIO(), Packed(), lambda buffer: False).dump(part)
        except Exception as error:
            return str(error) or type(error).__name__
        return None

    where, part, cause = culprit(function, title, problem)
    return SpecError(
        f"{title} cannot be sent to a trial: {where} is {_described(part)} ({cause or error}); "
        f"make it inside {title}, or leave it out"
    )


def _described(part: Any) -> str:
    kind = type(part)
    module = "" if kind.__module__ in ("builtins", "__main__", "_io") else f"{kind.__module__}."
    return f"a {module}{kind.__qualname__}"
