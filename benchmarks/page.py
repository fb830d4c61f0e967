"""How long a browser takes to show a study of 10,000 trials.

    python -m benchmarks.page [TRIALS [ROOT]]

makes the study (or takes the one in ROOT), serves it, and opens its pages in Chromium: first with a service that has
just begun, then again. Times in seconds from the navigation's start: to the first paint of content (as the browser
says), and until the page is complete, with all its figures drawn and its table filled. Aims on an idle machine: 1 s and
2 s.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.support.drawn_studies import written
from tests.support.pages import Window, chromium, serving, window

TRIALS = 10_000
TABS = ("overview", "trials", "parallel")
AGAIN = 5
_PAINT = "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
_DRAWN = {
    "charts/history": ".u-over",
    "charts/curves": ".u-over",
    "charts/parallel": ".axis",
    "trials/table": "[data-row]",
}
_COMPLETE = f"""() => document.readyState === 'complete' && Object.entries({_DRAWN}).every(([module, drawn]) =>
  [...document.querySelectorAll(`[data-module="${{module}}"]`)].every((part) => part.querySelector(drawn)))"""


def main() -> None:
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else TRIALS
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(sys.argv[2] if len(sys.argv) > 2 else scratch)
        if not (root / "plain").exists():
            begun = time.perf_counter()
            written(str(root), "plain", trials)
            print(f"{trials} trials were written in {time.perf_counter() - begun:.1f} s")
        print(f"{'page':<10} {'service':<8} {'first paint':>12} {'complete':>10}")
        with chromium() as browser:
            for tab in TABS:
                with serving(root) as service, window(browser, service.host) as found:
                    found.page.goto(f"http://{service.host}{service.login.split('&')[0]}&next=/account")
                    show(tab, "new", [visit(found, tab)])
                    show(tab, "known", [visit(found, tab) for _ in range(AGAIN)])


def visit(found: Window, tab: str) -> tuple[float, float]:
    """Seconds to the first paint, and until the page is complete."""
    page: Any = found.page
    page.goto("about:blank")
    page.goto(f"http://{found.host}/studies/plain?tab={tab}", wait_until="commit")
    page.wait_for_function(_COMPLETE, polling=20)
    complete = page.evaluate("performance.now()")
    page.wait_for_function(f"({_PAINT})() > 0", polling=20)
    return page.evaluate(_PAINT) / 1000, complete / 1000


def show(tab: str, service: str, times: list[tuple[float, float]]) -> None:
    paint, complete = (sorted(each)[len(times) // 2] for each in zip(*times, strict=True))
    print(f"{tab:<10} {service:<8} {paint:>12.2f} {complete:>10.2f}", flush=True)


if __name__ == "__main__":
    main()
