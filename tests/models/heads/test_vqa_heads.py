import pytest
import torch
from frostgrid.models.config import VqaHeadConfig
from frostgrid.models.names import TASKS
from frostgrid.models.registry import HEADS
from frostgrid.train.settings.recipes import RECIPES
from frostgrid.train.tasks.losses import commonest_cross_entropy

VQA = [name for name, head in HEADS.items() if head.task == "vqa"]
U, S, D, T, A, V = 4, 9, 8, 7, 5, 20


def build(name, **settings):
    torch.manual_seed(0)
    small = {"embedding": 16, "hidden": 16, "attention": 8, "classifier": 32, "dropout": 0.0}
    return HEADS[name](VqaHeadConfig(V, A, D, **{**small, **settings}))


def example(name, seed=0):
    g = torch.Generator().manual_seed(seed)
    kind = HEADS[name].features
    features = {
        "none": None,
        "pooled": torch.rand(U, D, generator=g),
        "grid": torch.rand(U, S, D, generator=g),
    }[kind]
    image_index = torch.tensor([0, 0, 1, 2, 2, 2, 3, 3])
    length = torch.tensor([1, 7, 3, 2, 5, 4, 6, 3])
    question = torch.randint(2, V, (8, T), generator=g)
    question[torch.arange(T) >= length[:, None]] = 0
    return features, image_index, question, length


@pytest.mark.parametrize("name", VQA)
def test_pads_are_never_read(name):
    head = build(name).eval()
    features, image_index, question, length = example(name)
    other = question.clone()
    other[torch.arange(T) >= length[:, None]] = 3  # words where pads were
    longer = torch.cat([question, torch.full((8, 5), 4)], 1)
    scores = head(features, image_index, question, length)
    for changed in (other, longer):
        torch.testing.assert_close(head(features, image_index, changed, length), scores)


@pytest.mark.parametrize("name", VQA)
def test_a_batch_answers_as_its_questions_do_one_by_one(name):
    head = build(name).eval()
    features, image_index, question, length = example(name)
    scores = head(features, image_index, question, length)
    for b in range(8):
        own = None if features is None else features[image_index[b]][None]
        alone = head(own, torch.tensor([0]), question[b : b + 1, : length[b]], length[b : b + 1])
        torch.testing.assert_close(alone[0], scores[b], rtol=1e-4, atol=1e-5)


def test_the_names_without_torch_are_those_of_the_registry() -> None:
    assert {name: head.task for name, head in HEADS.items()} == TASKS
    assert list(HEADS) == list(TASKS)  # in the order of help and messages


@pytest.mark.parametrize("name", VQA)
@pytest.mark.parametrize("recipe", list(RECIPES))
@pytest.mark.parametrize("n_items", [8, 1_000_000])
def test_the_loss_falls_on_eight_questions(name, recipe, n_items):
    sizes = {"embedding", "hidden", "attention", "classifier"}
    recipe_head = RECIPES[recipe][name].head_for(n_items)
    settings = {k: v for k, v in recipe_head.items() if k not in sizes}
    head = build(name, **settings)
    features, image_index, question, length = example(name)
    if features is not None:
        head.fit_features(features)
    answer = torch.arange(8) % A
    optimizer = torch.optim.Adam(head.parameters(), lr=5e-3)
    losses = []
    for _ in range(400):
        loss = commonest_cross_entropy(head(features, image_index, question, length), answer)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
        if losses[-1] < 0.1 * losses[0]:
            break
    assert losses[-1] < 0.1 * losses[0], losses[-1]


@pytest.mark.parametrize("name", VQA)
def test_the_image_matters_to_all_but_question_only(name):
    head = build(name).eval()
    features, image_index, question, length = example(name)
    scores = head(features, image_index, question, length)
    if features is None:
        other = head(None, 3 - image_index, question, length)
        torch.testing.assert_close(other, scores)
    else:
        assert not torch.equal(head(features.flip(0), image_index, question, length), scores)


def test_every_head_has_every_recipe():
    for recipe in RECIPES.values():
        assert set(recipe) == set(HEADS)


def test_san_attends_as_the_paper_says():
    """Equations 15 to 18 and 22 of Yang et al. (2016), written out."""
    head = build(
        "san", hops=2, standardize=False, fusion="add", question="mean", whole=False
    ).eval()
    features, image_index, question, length = example("san")
    _, attentions = head.with_attention(features, image_index, question, length)
    u = head.enter(head.question(question, length))
    for hop, attention in zip(head.hops, attentions, strict=True):
        v = features[image_index]  # [B, S, D]
        h = torch.tanh(hop.cells(v) + hop.query(u)[:, None])
        p = torch.softmax(h @ hop.weight, 1)
        torch.testing.assert_close(attention, p)
        u = u + hop.value((p[:, :, None] * v).sum(1))
    scores = head(features, image_index, question, length)
    torch.testing.assert_close(scores, head.classifier(u), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["mean-embed", "lstm", "question-attention", "san"])
def test_an_image_branch_may_start_at_nothing(name):
    head = build(name, growth=0.0, fusion="concat", whole_norm=False).eval()
    features, image_index, question, length = example(name)
    scores = head(features, image_index, question, length)
    torch.testing.assert_close(head(features.flip(0), image_index, question, length), scores)
    scores.sum().backward()
    grown = [p.grad for n, p in head.named_parameters() if n.endswith("growth.factor")]
    assert grown
    assert all(gradient.abs() > 0 for gradient in grown)  # so it can grow


@pytest.mark.parametrize("name", VQA)
def test_settings_of_older_runs_build_the_tensors_of_then(name):
    """Growth of 1, and no dropout of the image, add no weights and draw no random numbers."""
    assert not any("growth" in tensor for tensor in build(name).state_dict())
    assert ("whole.norm.weight" in build(name).state_dict()) == (name == "san")


@pytest.mark.parametrize("apart", [True, False])
def test_mcan_keeps_what_words_find_apart_from_them(apart):
    """Where nothing is found, questions differ in what is seen only if words are part of it."""
    head = build("mcan", heads=4, apart=apart).eval()
    seen = []
    head.fusion.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    with torch.no_grad():
        for look in head.look:
            look.leave.weight.zero_()
        head(*example("mcan"))
    assert torch.allclose(seen[0], seen[0][:1], atol=1e-5) == apart
