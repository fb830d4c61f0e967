"""Successive halving in which a rung decides only as long as its order is that of full trainings."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Set
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any

from hpo_engine.searchers.halving import BracketState, Halving, Run
from hpo_engine.searchers.model_source import Model, by_configuration, model_of, shares
from hpo_engine.searchers.sources import RandomSource
from hpo_engine.space.params import key
from hpo_engine.study.history import History
from hpo_engine.study.spec import StudySpec

if TYPE_CHECKING:
    import numpy as np

    from hpo_engine.searchers.observations import Observations

N0 = int(os.environ.get("T_N0", 8))
EVERY = int(os.environ.get("T_EVERY", 5))
KEEP = float(os.environ.get("T_KEEP", 3))
TRUST = float(os.environ.get("T_TRUST", 0.8))
ETA = float(os.environ.get("T_ETA", 3))
PROMO = int(os.environ.get("T_PROMO", 2))
SKIP = int(os.environ.get("T_SKIP", 0))
ROWS = int(os.environ.get("T_ROWS", 1))
IMPUTE = os.environ.get("T_IMPUTE", "share")


class Trusted(Halving):
    def __init__(self, spec: StudySpec, choice: Any) -> None:
        super().__init__(spec, ETA, alike=True, promotions=PROMO)
        self._top = len(self.layout) - 1
        self._rows: dict[tuple[int, int], float | None] = {}
        self.source = Calibrated(spec, choice, self)

    def runs(self, history: History, brackets: dict[int, BracketState], fresh: bool) -> Iterator[Run]:
        screened, unconditional = (brackets.get(b) or BracketState(b, self.layout) for b in (0, 1))
        base = self.base(history)
        self._live = bool(ROWS) and self._reports(history, by_configuration(history.trials)[0])
        trials = history.spec.budget.trials
        for trial_id in count(history.next_id):
            if trials is not None and trial_id >= trials:
                return
            run = self._next(screened, unconditional, base, fresh)
            if run is None:
                return
            yield run

    def base(self, history: History) -> int:
        trust = self.trust(history)
        for k in range(self._top):
            if trust[k] >= TRUST:
                return k
        return self._top

    def trust(self, history: History) -> list[float]:
        import numpy as np

        results, _, _ = by_configuration(history.trials)
        full = results.get(self.layout[-1].resource, {})
        free = {i for i in full if (history.trials[i].proposal.note or {}).get("bracket") == 1}
        out = []
        for rung in self.layout[:-1]:
            low = self.low(history, rung.resource, results)
            ids = [i for i in low if i in free]
            if len(ids) < min(N0, 5):
                out.append(0.0)
                continue
            out.append(concordance(np.array([low[i] for i in ids]), np.array([full[i] for i in ids])))
        return out

    def low(self, history: History, resource: int, results: Any) -> dict[int, float]:
        """The losses of configurations after so much: of runs with it, and from the rows of longer ones."""
        out = dict(results.get(resource, {}))
        for i in results.get(self.layout[-1].resource, {}):
            if i not in out:
                at = (i, resource)
                if at not in self._rows:
                    self._rows[at] = _at(history.trials[i], resource, self.layout[-1].resource, self._spec.objectives)
                if (loss := self._rows[at]) is not None:
                    out[i] = loss
        return out

    def _reports(self, history: History, results: Any) -> bool:
        return any(self._in_units(history.trials[i], r) for r, ids in results.items() for i in list(ids)[:1])

    def _in_units(self, trial: Any, resource: int) -> bool:
        return bool(trial.rows) and trial.rows[-1].step == resource and len(trial.rows) > 1

    def _next(self, screened: BracketState, free: BracketState, base: int, fresh: bool) -> Run | None:
        for k in reversed(range(self._top)):
            if free.rungs[k].waiting:
                return free.promote(k, self._top if SKIP else k + 1)
        for k in reversed(range(base, self._top)):
            rung = screened.rungs[k]
            most = int(len(rung.done) / KEEP * (1 + 1e-12))
            if most and rung.waiting and rung.waiting[0] <= rung.done[most - 1]:
                return screened.promote(k)
        if not fresh:
            return None
        number = screened.begun + free.begun
        if number < N0:
            return free.begin(self._top if self._live else 0)
        if base == self._top:
            return free.begin(self._top)
        if number % EVERY == EVERY - 1:
            return free.begin(self._top if self._live else base)
        return screened.begin(base)


def _at(trial: Any, resource: int, most: int, objectives: Any) -> float | None:
    from hpo_engine.study.reached import losses_at

    if not ROWS or not trial.rows or trial.rows[-1].step != most or trial.rows[0].step > resource:
        return None
    found = losses_at(trial.rows, resource, objectives)
    return None if found is None else found[0]


def concordance(low: np.ndarray, full: np.ndarray) -> float:
    import numpy as np

    capped = np.minimum(full, np.median(full))
    ahead, before = capped[:, None] - capped, low[:, None] - low
    weight = np.abs(ahead)
    agree = np.where(before == 0, 0.5, np.sign(ahead) == np.sign(before))
    return float((weight * agree).sum() / weight.sum()) if weight.sum() > 0 else 0.0


class Calibrated:
    def __init__(self, spec: StudySpec, choice: Any, scheduler: Trusted) -> None:
        self._spec, self._choice, self._scheduler = spec, choice, scheduler
        self._models: dict[str, Model] = {}
        self._draws, self._finite = RandomSource(spec), spec.space.size is not None

    def suggest(self, history: History, first: int, count: int, known: Set[Any]) -> list[dict[str, Any]]:
        import numpy as np

        seen = self.observed(history)
        out: list[dict[str, Any]] = []
        for number in range(first, first + count):
            name = self._choice(seen, number)
            if name not in self._models:
                self._models[name] = model_of(self._spec, name)
            params = next(iter(self._models[name].suggest(seen, number, 1)), None)
            if params is None:
                taken = known | set(map(key, out)) if self._finite else known
                (params,) = self._draws.suggest(history, number, 1, taken)
            out.append(params)
            seen = replace(seen, pending=np.vstack([seen.pending, self._spec.space.encode(params)[None]]))
        return out

    def observed(self, history: History) -> Observations:
        import numpy as np

        from hpo_engine.searchers.evidence import expected
        from hpo_engine.searchers.observations import Observations

        results, failed, running = by_configuration(history.trials)
        layout = self._scheduler.layout
        full = results.get(layout[-1].resource, {})
        known = dict(full)
        if len(full) >= 2:
            for rung in reversed(layout[:-1]):
                low = self._scheduler.low(history, rung.resource, results)
                both = [i for i in low if i in known]
                here = [i for i in results.get(rung.resource, {}) if i not in known]
                if not both or not here:
                    continue
                last = np.array([known[i] for i in both])
                imputed = expected(np.array([low[i] for i in both]), last, np.array([low[i] for i in here]))
                known.update(zip(here, imputed.tolist(), strict=True))
        if IMPUTE == "share":
            known = dict(full)
            base = self._scheduler.base(history)
            if base < len(layout) - 1 and len(full) >= 2:
                ranked = shares({r.resource: results[r.resource] for r in layout[base:] if r.resource in results})
                at = np.sort([ranked[i] for i in full])
                values = np.sort(list(full.values()))
                for i, share in ranked.items():
                    if i not in known:
                        known[i] = float(np.interp(share, at, values))
        if IMPUTE != "partial":
            full = known
        partial = [i for i in known if i not in full]

        def points(ids: Any) -> np.ndarray:
            found = [self._spec.space.encode(history.trials[i].params) for i in ids]
            return np.array(found).reshape(len(found), len(self._spec.space.dimensions))

        return Observations(
            points(full), np.array(list(full.values()), dtype=float),
            points(i for i in failed if i not in known), points(i for i in running if i not in known),
            partial=points(partial), partial_losses=np.array([known[i] for i in partial], dtype=float),
        )  # fmt: skip
