"""Searchers apart from the engine: which algorithms are installed plugins, and what a study takes of them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from hpo_engine.assembly.registries import SEARCHERS
from hpo_engine.contract.paths import StudyPaths
from hpo_engine.study.spec import Isolation, SearchPlugin, StudySpec

if TYPE_CHECKING:
    from hpo_engine.isolation.home import Home
    from hpo_engine.searchers import Searcher

_CLASS = "PluginOptimizer"


def algorithms(env: Mapping[str, str]) -> dict[str, str]:
    """Every algorithm that a study file may name, with where it comes from; installed plugins are among them."""
    from hpo_engine.isolation import installed

    return {**{name: found.path for name, found in installed.plugins(installed.folder_of(env)).items()}, **names()}


def names() -> dict[str, str]:
    """The algorithms that are no installed plugins."""
    return SEARCHERS.known()


def reserved() -> Iterable[str]:
    """Names that no plugin can be installed under."""
    from hpo_engine.studyfile import wmla

    return [*names(), *wmla.BUILT_IN]


def with_plugin(spec: StudySpec, env: Mapping[str, str], known: StudySpec | None = None) -> StudySpec:
    """The study with the plugin that its algorithm names, if it names one.

    Args:
        known: the study before a change of it; its plugin stays.
    """
    plugin = _known(spec, known) or _by_path(spec.algorithm.name) or _installed(spec.algorithm.name, env)
    return spec if plugin is None else replace(spec, isolation=replace(spec.isolation or Isolation(), plugin=plugin))


def _known(spec: StudySpec, known: StudySpec | None) -> SearchPlugin | None:
    if known is None or known.isolation is None or known.algorithm.name != spec.algorithm.name:
        return None
    return known.isolation.plugin


def _by_path(name: str) -> SearchPlugin | None:
    from hpo_engine.isolation import installed

    path, _, cls = name.rpartition(":")
    if cls != _CLASS or not path.endswith(".py"):
        return None
    folder, file = os.path.split(os.path.abspath(path))
    return SearchPlugin(folder, file, sha256=installed.fingerprint(folder))


def _installed(name: str, env: Mapping[str, str]) -> SearchPlugin | None:
    if ":" in name or name in names():
        return None
    from hpo_engine.isolation import installed

    found = installed.plugins(installed.folder_of(env)).get(name)
    return None if found is None else found.plugin()


def at_home(spec: StudySpec, paths: StudyPaths) -> StudySpec:
    """The study with its own copies of the script's folder and of its plugin in place of the originals."""
    here = replace(spec, model_dir=paths.model)
    if spec.isolation is None or spec.isolation.plugin is None:
        return here
    return replace(here, isolation=replace(spec.isolation, plugin=replace(spec.isolation.plugin, folder=paths.plugin)))


def isolated(spec: StudySpec, home: Home | None) -> Searcher:
    """The searcher in a process of its own. Raises SpecError, SearcherError."""
    assert spec.isolation is not None
    if spec.isolation.plugin is not None:
        from hpo_engine.isolation.plugin import PluginSearcher

        return PluginSearcher(spec, home)
    from hpo_engine.isolation.native import IsolatedSearcher

    return IsolatedSearcher(spec, home)
