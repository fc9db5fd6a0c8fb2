"""Long work that a page shows, done once a server: in a thread, so that the page can say how far it is."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import streamlit as st

from pagingviz.timeline import warm

PATIENCE = 0.3  # s that a run of a page waits for a result before it shows progress
MOST = 64  # results kept; the oldest go first

OnProgress = Callable[[int, int], None]
Result = TypeVar("Result")


class Job(Generic[Result]):
    """One piece of work. `share`: 0..1; `result`: when it is done; `error`: a sentence when it could not be done."""

    result: Result

    def __init__(self, name: str, work: Callable[[OnProgress], Result]) -> None:
        self.share, self.error = 0.0, ""
        self._name, self._do = name, work
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def wait(self, seconds: float) -> bool:
        """Wait at most so long. True when it is done."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _work(self) -> None:
        try:
            warm.warm()
            self.result = self._do(self._told)
        except Exception as error:  # the page says so; the others are not concerned
            logging.getLogger("pagingviz").exception("%s", self._name)
            self.error = f"This could not be worked out ({self._name}): {error}."
        self.share = 1.0

    def _told(self, done: int, of: int) -> None:
        self.share = done / max(of, 1)


_lock = threading.Lock()
_jobs: dict[object, Job[Any]] = {}


def finished(work: Job, message: str, key: str) -> bool:
    """Whether `work` has a result to show. Else its error stands on the page, or how far it is until the page is drawn anew."""
    if work.wait(PATIENCE):
        if work.error:
            st.error(work.error)
        return not work.error

    def progress() -> None:
        if work.wait(0):
            st.rerun()
        if warm.progress() < 1:
            st.progress(warm.progress(), warm.sentence())
        else:
            st.progress(work.share, message)

    with st.container():
        st.fragment(progress, key=f"progress-{key}", run_every=0.5)()
    return False


def known(key: object) -> bool:
    """Whether somebody has asked for the job of that key, and it has not failed."""
    with _lock:
        return key in _jobs and not _jobs[key].error


def job(key: object, name: str, work: Callable[[OnProgress], Result]) -> Job[Result]:
    """The job of that key, begun when nobody has asked for it before; one that failed is tried again."""
    with _lock:
        if key not in _jobs or _jobs[key].error:
            while len(_jobs) >= MOST:
                _jobs.pop(next(iter(_jobs)))
            _jobs[key] = Job(name, work)
        return _jobs[key]
