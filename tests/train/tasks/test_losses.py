import torch
from frostgrid.train.tasks.losses import commonest_cross_entropy, soft_cross_entropy
from torch.nn import functional


def test_soft_cross_entropy_equals_the_dense_form():
    torch.manual_seed(0)
    scores = torch.randn(6, 9, dtype=torch.float64, requires_grad=True)
    dense = torch.rand(6, 9, dtype=torch.float64) * (torch.rand(6, 9) < 0.3)
    dense[2] = 0  # a question whose answers are all outside the list
    row, answer = dense.nonzero(as_tuple=True)
    loss = soft_cross_entropy(scores.float(), row, answer, dense[row, answer].float())
    plain = -(dense * scores.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(loss, plain.float())
    (mine,) = torch.autograd.grad(loss, scores, retain_graph=True)
    (theirs,) = torch.autograd.grad(plain, scores)
    torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-6)


def test_soft_cross_entropy_on_one_answer_is_cross_entropy():
    scores, answer = torch.randn(5, 4), torch.tensor([0, 3, 2, 2, 1])
    loss = soft_cross_entropy(scores, torch.arange(5), answer, torch.ones(5))
    torch.testing.assert_close(loss, functional.cross_entropy(scores, answer))


def test_commonest_cross_entropy_leaves_out_what_the_list_lacks():
    scores = torch.randn(4, 3)
    loss = commonest_cross_entropy(scores, torch.tensor([1, -1, 0, -1]))
    kept = functional.cross_entropy(scores[[0, 2]], torch.tensor([1, 0]), reduction="sum")
    torch.testing.assert_close(loss, kept / 4)
