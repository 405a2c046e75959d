"""A set of two questions, shared by the tests of VQA's scores."""

import pytest
from reference.vqa_sets import annotation, official_answers, write_set


@pytest.fixture
def small_set(tmp_path):
    annotations = [
        annotation(1, official_answers(["yes"] * 10), 7),
        annotation(2, official_answers(["two"] * 5 + ["3"] * 5), 7, "how many", "number"),
    ]
    return write_set(tmp_path, annotations, {2: "2", 1: "no"})
