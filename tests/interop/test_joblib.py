"""joblib and scikit-learn, through joblib's interface for backends (the class that the docs show)."""

from __future__ import annotations

import importlib
import os
import threading
from collections.abc import Callable, Iterator
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from joblib import Parallel, delayed, parallel_config
from sklearn.datasets import load_iris, make_regression
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from okazja import Executor

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


@pytest.fixture
def make_backend(monkeypatch: pytest.MonkeyPatch) -> Callable[[Executor], Any]:
    monkeypatch.syspath_prepend(EXAMPLES)
    backend: Callable[[Executor], Any] = importlib.import_module("joblib_backend").ExecutorBackend
    return backend


@pytest.fixture
def in_executor(executor: Executor, make_backend: Callable[[Executor], Any]) -> Iterator[Executor]:
    """All of joblib's parallel calls of the test go to the executor."""
    with parallel_config(backend=make_backend(executor)):
        yield executor


def where(_: int) -> tuple[int, str]:
    return os.getpid(), threading.current_thread().name


def nested(n: int) -> list[float]:
    values: list[float] = Parallel(n_jobs=2)(delayed(sqrt)(i) for i in range(n))
    return values


def invert(n: int) -> float:
    return 1 / n


def fit_and_predict(alpha: float, features: Any, target: Any) -> Any:
    return Ridge(alpha=alpha).fit(features, target).predict(features)


def test_parallel(in_executor: Executor) -> None:
    assert Parallel()(delayed(sqrt)(n) for n in range(50)) == [sqrt(n) for n in range(50)]
    assert Parallel(batch_size=7)(delayed(pow)(n, 2) for n in range(50)) == [n * n for n in range(50)]


def test_closures_and_generators(in_executor: Executor) -> None:
    offset = 5
    results = Parallel(return_as="generator")(delayed(lambda n: n + offset)(n) for n in range(20))
    assert list(results) == list(range(5, 25))


def test_batches_run_in_the_workers(make_backend: Callable[[Executor], Any]) -> None:
    for name in ("threads", "processes"):
        with Executor(name, max_workers=2) as executor, parallel_config(backend=make_backend(executor)):
            places = set(Parallel()(delayed(where)(n) for n in range(20)))
        assert (os.getpid(), threading.current_thread().name) not in places
        assert 1 <= len(places) <= 2


def test_an_error_comes_out_and_the_backend_goes_on(in_executor: Executor) -> None:
    with pytest.raises(ZeroDivisionError):
        Parallel()(delayed(invert)(n) for n in (2, 1, 0, 4, 5, 6))
    assert Parallel()(delayed(invert)(n) for n in (1, 2, 4)) == [1, 0.5, 0.25]


def test_parallel_inside_parallel(in_executor: Executor) -> None:
    assert Parallel()(delayed(nested)(n) for n in range(4)) == [[sqrt(i) for i in range(n)] for n in range(4)]


def test_shared_memory_is_demanded_only_of_backends_that_have_it(
    make_backend: Callable[[Executor], Any],
) -> None:
    seen: list[int] = []
    with Executor("threads", max_workers=2) as executor, parallel_config(backend=make_backend(executor)):
        Parallel(require="sharedmem")(delayed(seen.append)(n) for n in range(5))
    assert sorted(seen) == list(range(5))


def test_an_estimator_inside_a_task(executor: Executor) -> None:
    features, target = make_regression(n_samples=60, n_features=5, random_state=0)
    alphas = [0.1, 1.0, 10.0]
    futures = [executor.submit(fit_and_predict, alpha, features, target) for alpha in alphas]
    for alpha, future in zip(alphas, futures, strict=True):
        np.testing.assert_allclose(future.result(), fit_and_predict(alpha, features, target), rtol=1e-10)


def test_a_fitted_estimator_comes_back(executor: Executor) -> None:
    features, target = load_iris(return_X_y=True)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200))
    fitted = executor.submit(model.fit, features, target).result()
    alone = model.fit(features, target)
    np.testing.assert_array_equal(fitted.predict(features), alone.predict(features))


def test_cross_validation(executor: Executor, make_backend: Callable[[Executor], Any]) -> None:
    features, target = load_iris(return_X_y=True)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200))
    alone = cross_val_score(model, features, target, n_jobs=1)
    with parallel_config(backend=make_backend(executor)):
        spread = cross_val_score(model, features, target, n_jobs=-1)
    np.testing.assert_allclose(spread, alone)


def test_grid_search(executor: Executor, make_backend: Callable[[Executor], Any]) -> None:
    features, target = load_iris(return_X_y=True)
    grid = {"C": [0.01, 1.0, 100.0]}
    alone = GridSearchCV(LogisticRegression(max_iter=2000), grid, cv=3, n_jobs=1).fit(features, target)
    with parallel_config(backend=make_backend(executor)):
        spread = GridSearchCV(LogisticRegression(max_iter=2000), grid, cv=3, n_jobs=-1).fit(features, target)
    assert spread.best_params_ == alone.best_params_
    np.testing.assert_allclose(spread.cv_results_["mean_test_score"], alone.cv_results_["mean_test_score"])


def test_a_forest_grows_the_same_trees(executor: Executor, make_backend: Callable[[Executor], Any]) -> None:
    features, target = load_iris(return_X_y=True)
    alone = RandomForestClassifier(n_estimators=8, random_state=3, n_jobs=1).fit(features, target)
    with parallel_config(backend=make_backend(executor)):
        spread = RandomForestClassifier(n_estimators=8, random_state=3, n_jobs=-1).fit(features, target)
    np.testing.assert_array_equal(spread.predict_proba(features), alone.predict_proba(features))
