from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from components.recsys.errors import InputError
from components.recsys.models import MODELS
from components.recsys.models.ease import MOST_ITEMS
from components.recsys.settings import PrepareSettings, TrainSettings
from components.recsys.splits import split
from components.recsys.training import Fitted, fit_candidate, refit, suitable

START = datetime(2026, 1, 1, tzinfo=UTC)
SETTINGS = TrainSettings(models={"ials": {"factors": 4}, "svd": {"factors": 4}})


def world(users=60, items=30, each=12, seed=3):
    rng = np.random.default_rng(seed)
    rows = [
        (f"u{user:02}", f"i{item:02}", START + timedelta(hours=hour), "view" if hour % 3 else "booking")
        for user in range(users)
        for hour, item in enumerate(rng.choice(np.arange(user % 2, items, 2), each, replace=False))
    ]
    columns = {"user_id": pl.String, "item_id": pl.String, "timestamp": pl.Datetime("us", "UTC"), "event": pl.String}
    return pl.DataFrame(rows, schema=columns, orient="row")


@pytest.fixture(scope="module")
def parts():
    return split(world(), PrepareSettings(), 42)


def weights(model):
    return {name: array.tobytes() for name, array in model.weights().items()}


@pytest.mark.parametrize("name", list(MODELS))
def test_the_recipe_that_was_learnt_is_the_one_fitted(name, parts):
    fitted = fit_candidate(name, SETTINGS, parts, None)
    assert fitted.seconds > 0
    assert fitted.learnt
    config = fitted.model.config.model_dump()
    assert {key: config[key] for key in fitted.learnt if key != "parts"} == {
        key: value for key, value in fitted.learnt.items() if key != "parts"
    }
    assert not fitted.model.learns()


@pytest.mark.parametrize("name", list(MODELS))
def test_the_same_split_and_seed_give_the_same_bytes(name, parts):
    one, other = (fit_candidate(name, SETTINGS, parts, None) for _ in range(2))
    assert weights(one.model) == weights(other.model)
    assert one.learnt == other.learnt


@pytest.mark.parametrize("name", list(MODELS))
def test_refitting_keeps_the_recipe_and_takes_the_test_part_too(name, parts):
    fitted = fit_candidate(name, SETTINGS, parts, None)
    model = refit(fitted, parts, None, SETTINGS)
    assert model.config == fitted.model.config
    assert model.learnt() == {}
    assert weights(model) != weights(fitted.model)
    assert weights(model) == weights(refit(fitted, parts, None, SETTINGS))


def test_the_test_part_does_not_reach_the_candidate(parts):
    without = replace(parts, test=parts.test.clear())
    assert weights(fit_candidate("ease", SETTINGS, parts, None).model) == weights(
        fit_candidate("ease", SETTINGS, without, None).model
    )


def test_an_item_that_nobody_took_yet_is_in_the_vocabulary(parts):
    items = pl.DataFrame({"item_id": ["i00", "brand new"], "title": ["a title", "a title"]})
    fitted = fit_candidate("content", SETTINGS, parts, items)
    assert "brand new" in fitted.model.items
    assert sorted(fitted.model.items) == fitted.model.items.tolist()
    assert "brand new" in refit(fitted, parts, items, SETTINGS).items


def test_a_setting_that_is_given_is_not_learnt(parts):
    fitted = fit_candidate("ease", TrainSettings(models={"ease": {"half_life": None, "l2": 50}}), parts, None)
    assert fitted.learnt == {}
    assert fitted.model.config.l2 == 50
    assert fitted.model.config.half_life is None


def test_without_a_validation_part_defaults_are_taken(parts):
    fitted = fit_candidate("ease", SETTINGS, replace(parts, validation=parts.validation.clear()), None)
    assert fitted.learnt == {}
    assert fitted.model.config.half_life == 8.0


def test_event_weights_reach_the_model(parts):
    plain = fit_candidate("popularity", SETTINGS, parts, None).model
    weighted = fit_candidate("popularity", SETTINGS, replace(parts, event_weights={"booking": 5.0}), None).model
    assert (weighted.prior >= plain.prior).all()
    assert (weighted.prior > plain.prior).any()


def test_another_seed_gives_another_factorisation(parts):
    settings = SETTINGS.model_copy(update={"seed": 7})
    assert weights(fit_candidate("ials", SETTINGS, parts, None).model) != weights(
        fit_candidate("ials", settings, parts, None).model
    )


def test_progress_is_told(parts):
    told = []
    fit_candidate("ease", SETTINGS, parts, None, told.append)
    assert told == ["learning settings on the validation part"]


def test_an_unknown_model_is_refused_with_the_nearest_name(parts):
    with pytest.raises(InputError, match="no model 'eese'; did you mean 'ease'"):
        fit_candidate("eese", SETTINGS, parts, None)
    with pytest.raises(InputError, match="known are popularity"):
        suitable(["xxxxx"], 1, 1, 1)


def test_an_unknown_setting_is_refused_by_its_whole_name(parts):
    with pytest.raises(InputError, match=r"unknown setting 'train.models.ease.l3'; did you mean 'l2'"):
        fit_candidate("ease", TrainSettings(models={"ease": {"l3": 1}}), parts, None)


def test_on_small_data_every_candidate_is_kept_once():
    assert suitable(["ease", "ials", "ease"], 1000, MOST_ITEMS, 10**5) == (["ease", "ials"], [])


def test_too_many_items_for_ease_leave_it_out_with_a_reason():
    kept, reasons = suitable(["popularity", "ease", "ials"], 10**6, MOST_ITEMS + 1, 10**7)
    assert kept == ["popularity", "ials"]
    assert len(reasons) == 1
    assert reasons[0].startswith("ease is left out")


def test_nothing_left_to_train_is_said():
    with pytest.raises(InputError, match=r"no candidate is left.*train\.candidates"):
        suitable(["ease"], 10, 10**6, 100)


def test_a_fit_stands_for_its_model_and_recipe(parts):
    fitted = fit_candidate("item_knn", SETTINGS, parts, None)
    assert weights(refit(Fitted(fitted.model, fitted.learnt, 0.0), parts, None, SETTINGS)) == weights(
        refit(fitted, parts, None, SETTINGS)
    )
