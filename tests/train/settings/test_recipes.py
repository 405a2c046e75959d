from dataclasses import replace

import pytest
from frostgrid.train.settings.config import Optimisation
from frostgrid.train.settings.recipes import (
    ADAPTIVE,
    MIN_BATCH_SIZE,
    MIN_BATCHES,
    MIN_UPDATES,
    RECIPES,
    SMALL_SET,
    fit_to_size,
    updates_of_epoch,
)

RECIPE = Optimisation(epochs=12, batch_size=512, patience=5)


@pytest.mark.parametrize("n_items", [1, 31, 500, 3_500, 5_475, 20_479, 20_480, 43_000, 443_757])
def test_any_set_gets_its_updates(n_items):
    fitted = fit_to_size(RECIPE, n_items, ADAPTIVE)
    assert fitted.epochs * updates_of_epoch(fitted, n_items) >= MIN_UPDATES
    assert fitted.batch_size >= MIN_BATCH_SIZE
    assert fitted.patience / fitted.epochs >= 5 / 12
    if fitted.batch_size > MIN_BATCH_SIZE:
        assert updates_of_epoch(fitted, n_items) >= MIN_BATCHES


def test_a_large_set_is_trained_as_the_recipe_says():
    assert fit_to_size(RECIPE, 443_757, ADAPTIVE) == RECIPE


def test_a_recipe_may_want_other_rates_and_more_updates_on_a_small_set():
    recipe = RECIPES["default"]["rnn-decoder"]
    fitted = fit_to_size(recipe.optimisation, 3_500, recipe.adaptive, recipe)
    assert (fitted.batch_size, fitted.epochs) == (50, 29)
    mean_embed = RECIPES["default"]["mean-embed"]
    fitted = fit_to_size(mean_embed.optimisation, 5_475, mean_embed.adaptive, mean_embed)
    assert fitted.lr == 4 * mean_embed.optimisation.lr


def test_captions_of_a_small_set_are_trained_for_all_epochs():
    captions = RECIPES["default"]["rnn-decoder"].optimisation
    assert fit_to_size(captions, 3_500, ADAPTIVE).patience == 0
    assert fit_to_size(captions, 566_000, ADAPTIVE).patience == captions.patience > 0


def test_settings_that_are_not_adaptive_stay():
    assert fit_to_size(RECIPE, 500, ()) == RECIPE
    assert fit_to_size(RECIPE, 5_475, {"batch_size"}) == replace(RECIPE, batch_size=128)
    assert fit_to_size(RECIPE, 5_475, {"batch_size", "lr"}).lr == 2 * RECIPE.lr
    fitted = fit_to_size(RECIPE, 5_475, {"epochs"})
    assert (fitted.batch_size, fitted.epochs, fitted.patience) == (512, 91, 5)


def test_batches_that_are_accumulated_count_once():
    assert updates_of_epoch(replace(RECIPE, batch_size=100, accumulate=4), 950) == 3


def test_a_head_sees_less_at_first_on_a_small_set_alone():
    recipe = RECIPES["default"]["san"]
    assert recipe.head_for(SMALL_SET) == recipe.head == {}
    assert recipe.head_for(SMALL_SET - 1)["growth"] < 1
    assert RECIPES["report"]["san"].head_for(10) == RECIPES["report"]["san"].head


def test_the_weights_of_a_small_set_are_averaged():
    assert fit_to_size(RECIPE, SMALL_SET - 1, ADAPTIVE).averaging > 0
    assert fit_to_size(RECIPE, SMALL_SET, ADAPTIVE).averaging == 0


def test_the_reports_recipes_do_not_adapt():
    assert not any(recipe.adaptive for recipe in RECIPES["report"].values())
    assert all(recipe.optimisation.select_by == "score" for recipe in RECIPES["report"].values())
