import pytest
from frostgrid.datasets.ids import canonical, id_names, number_of
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (7, 7),
        ("7", 7),
        (7.0, 7),
        ("7.0", 7),
        ("-3", -3),
        ("07", "07"),
        ("7.5", "7.5"),
        (7.5, "7.5"),
        ("", ""),
        ("1e3", "1e3"),
        ("٧", "٧"),
        ("a.jpg", "a.jpg"),
    ],
)
def test_an_id_is_the_number_that_it_means_or_a_string(written, meant):
    assert canonical(written) == meant
    assert type(canonical(written)) is type(meant)


@given(st.integers(-(2**63) + 1, 2**63 - 1))
def test_a_number_is_itself_however_it_is_written(number):
    assert number_of(number) == number
    if abs(number) < 10**18:
        assert number_of(str(number)) == number


@given(st.lists(st.text(max_size=8), unique=True, max_size=20))
def test_strings_have_numbers_of_their_own_that_no_one_gives(texts):
    strings = [each for each in texts if isinstance(canonical(each), str)]
    numbers = [number_of(each) for each in strings]
    assert len(set(numbers)) == len(strings)
    assert all(2**62 <= number < 2**63 for number in numbers)
    assert id_names(texts) == dict(zip(numbers, strings, strict=True))


def test_the_number_of_a_string_stays_the_same():
    """Feature files hold it."""
    assert number_of("1000268201_693b08cb0e.jpg") == 5519510801797227691
