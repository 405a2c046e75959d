from frostgrid.evaluate.table import Table, as_csv, as_latex, as_markdown, as_text

TABLE = Table(
    ["name", "value"], [["a|b", "1.5"], ["50 % & _x, y", "10.25"]], title="T", notes=["n"]
)


def test_text_is_aligned():
    assert as_text(TABLE).splitlines() == [
        "T",
        "name          value",
        "a|b             1.5",
        "50 % & _x, y  10.25",
        "n",
    ]


def test_csv_quotes():
    assert as_csv(TABLE) == 'name,value\na|b,1.5\n"50 % & _x, y",10.25'


def test_markdown_escapes_bars():
    assert as_markdown(TABLE) == (
        "T\n\n| name | value |\n| --- | ---: |\n| a\\|b | 1.5 |\n| 50 % & _x, y | 10.25 |\n\n`n`"
    )


def test_latex_escapes():
    assert as_latex(TABLE).splitlines() == [
        "% T",
        "% n",
        r"\begin{tabular}{lr}",
        r"\toprule",
        r"name & value \\",
        r"\midrule",
        r"a|b & 1.5 \\",
        r"50 \% \& \_x, y & 10.25 \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]
