"""The colours and markers that tell runs apart, in plots and on pages."""

# Okabe and Ito's colours, told apart by all kinds of eyes; the yellow is too pale for a thin line.
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
MARKERS = ("o", "s", "^", "D")  # matplotlib's names; the next one once all colours are taken
# The same markers as SVG elements, in a box of 40 x 16.
SVG_MARKERS = (
    'circle cx="20" cy="8" r="5"',
    'rect x="15" y="3" width="10" height="10"',
    'path d="M20 2 26 13H14Z"',
    'path d="M20 1 27 8 20 15 13 8Z"',
)


def color_index(number: int) -> int:
    """The index in ``PALETTE`` of a run's colour, which repeats after seven runs."""
    return number % len(PALETTE)


def marker_index(number: int) -> int:
    """The index of a run's marker, which changes each time the colours repeat."""
    return number // len(PALETTE) % len(MARKERS)
