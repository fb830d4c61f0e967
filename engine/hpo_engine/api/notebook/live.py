"""What a cell shows while it waits for a study, and while a study runs behind the cells.

With anywidget there is a button that stops the study; without it the same page is shown and updated as plain output.
At the end plain output stays in either case, as a saved notebook shows it without a kernel, too.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

_SCRIPT = """
function render({ model, el }) {
  const page = document.createElement("div");
  const button = document.createElement("button");
  button.style.cssText = "margin: 4px 0; padding: 2px 12px; cursor: pointer;";
  const show = () => {
    page.innerHTML = model.get("page");
    button.disabled = model.get("stopping");
    button.textContent = button.disabled ? "stopping ..." : "Stop the study";
  };
  button.onclick = () => {
    button.disabled = true;
    model.send({ stop: true });
  };
  model.on("change:page", show);
  model.on("change:stopping", show);
  show();
  el.append(page, button);
}
export default { render };
"""


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook. Imports nothing."""
    shell = _shell()
    return shell is not None and hasattr(shell, "kernel")


class LiveView:
    """A page below the running cell.

    Args:
        stop: called once if the user presses the button, possibly in another thread.
    """

    def __init__(self, page: str, text: str, stop: Callable[[], None]) -> None:
        """`page`: HTML; `text`: the same in one line, for displays without HTML."""
        display: Any = import_module("IPython.display").display
        self._stop, self._stopping = stop, False
        self._widget = _widget(page)
        if self._widget is not None:
            self._widget.on_msg(lambda widget, content, buffers: self._pressed(content))
            _hear_while_busy(self._widget, self._pressed)
        shown = self._widget if self._widget is not None else _bundle(page, text)
        self._handle: Any = display(shown, raw=self._widget is None, display_id=True)
        self._last = page

    def show(self, page: str, text: str) -> None:
        """Shows another page in the place of the last one."""
        if page == self._last:
            return
        self._last = page
        if self._widget is not None:
            self._widget.page = page
        else:
            self._handle.update(_bundle(page, text), raw=True)

    def close(self, page: str, text: str) -> None:
        """The last page, which stays."""
        self._handle.update(_bundle(page, text), raw=True)
        if self._widget is not None and not self._stopping:  # else the kernel has the button's message still to read
            self._widget.close()

    def _pressed(self, content: Any) -> None:
        if isinstance(content, dict) and content.get("stop") and not self._stopping:
            self._stopping = True
            self._stop()
            if self._widget is not None:
                self._widget.stopping = True


def bundle(page: str, text: str) -> dict[str, str]:
    """What Jupyter shows of an object: HTML, or text where that cannot be shown."""
    return {"text/plain": text, "text/html": page}


_bundle = bundle


def _shell() -> Any:
    ipython = sys.modules.get("IPython")
    return None if ipython is None else ipython.get_ipython()


def _widget(page: str) -> Any:
    """None: anywidget is not installed."""
    try:
        import anywidget
        import traitlets
    except ImportError:
        return None

    class StudyWidget(anywidget.AnyWidget):
        """Shows `page`, with a button as long as the study runs."""

        _esm = _SCRIPT
        page = traitlets.Unicode().tag(sync=True)
        stopping = traitlets.Bool(False).tag(sync=True)

    return StudyWidget(page=page)


def _hear_while_busy(widget: Any, hear: Callable[[Any], None]) -> None:
    """Calls `hear` with messages from the widget as soon as they arrive.

    The kernel handles them one after the other, so those that arrive while a cell runs have to wait. Newer kernels ask
    the comm, in the thread that receives messages, which shell is to handle one; that is early enough.
    """
    comm = getattr(widget, "comm", None)
    route = getattr(comm, "_reply_subshell_for", None)
    if comm is None or route is None:
        return

    def hear_and_route(data: Any, default: Any) -> Any:
        if isinstance(data, dict):
            hear(data.get("content"))
        return route(data, default)

    comm._reply_subshell_for = hear_and_route
