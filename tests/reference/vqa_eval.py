"""VQA accuracy in the plainest Python, rule after rule; shares nothing with the package."""

import json
import re
from pathlib import Path

# word>replacement, all entries of the official table, also those that can never match.
TABLE = """
    'ow'sat>'ow's'at 'ows'at>'ow's'at I'dve>I'd've Id've>I'd've Im>I'm Ive>I've aint>ain't
    arent>aren't cant>can't couldn'tve>couldn't've couldnt>couldn't couldnt've>couldn't've
    couldve>could've didnt>didn't doesnt>doesn't dont>don't hadn'tve>hadn't've hadnt>hadn't
    hadnt've>hadn't've hasnt>hasn't havent>haven't he'dve>he'd've hed>he'd hed've>he'd've
    hes>he's howd>how'd howll>how'll hows>how's isnt>isn't it'dve>it'd've itd>it'd
    itd've>it'd've itll>it'll let's>let's maam>ma'am mightn'tve>mightn't've mightnt>mightn't
    mightnt've>mightn't've mightve>might've mustnt>mustn't mustve>must've neednt>needn't
    notve>not've oclock>o'clock oughtnt>oughtn't ow's'at>'ow's'at shant>shan't she'dve>she'd've
    she's>she's shed've>she'd've shouldn'tve>shouldn't've shouldnt>shouldn't
    shouldnt've>shouldn't've shouldve>should've somebody'd>somebodyd somebody'dve>somebody'd've
    somebodyd've>somebody'd've somebodyll>somebody'll somebodys>somebody's
    someone'dve>someone'd've someoned>someone'd someoned've>someone'd've someonell>someone'll
    someones>someone's something'dve>something'd've somethingd>something'd
    somethingd've>something'd've somethingll>something'll thats>that's there'dve>there'd've
    thered>there'd thered've>there'd've therere>there're theres>there's they'dve>they'd've
    theyd>they'd theyd've>they'd've theyll>they'll theyre>they're theyve>they've twas>'twas
    wasnt>wasn't we'dve>we'd've wed've>we'd've werent>weren't weve>we've whatll>what'll
    whatre>what're whats>what's whatve>what've whens>when's whered>where'd wheres>where's
    whereve>where've who'dve>who'd've whod>who'd whod've>who'd've wholl>who'll whos>who's
    whove>who've whyll>why'll whyre>why're whys>why's wont>won't wouldn'tve>wouldn't've
    wouldnt>wouldn't wouldnt've>wouldn't've wouldve>would've y'all'dve>y'all'd've
    y'alld've>y'all'd've y'allll>y'all'll yall>y'all yall'd've>y'all'd've yall'll>y'all'll
    you'dve>you'd've youd>you'd youd've>you'd've youll>you'll youre>you're youve>you've
"""
CONTRACTIONS = dict(entry.split(">") for entry in TABLE.split())
NUMBERS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
MARKS = [";", "/", "[", "]", '"', "{", "}", "(", ")", "=", "+", "\\", "_", "-"]
MARKS += [">", "<", "@", "`", ",", "?", "!"]


def clean(text):
    return text.replace("\n", " ").replace("\t", " ").strip()


def without_marks(text):
    number_with_comma = any(
        text[i].isdecimal() and text[i + 1] == "," and text[i + 2].isdecimal()
        for i in range(len(text) - 2)
    )
    result = text
    for mark in MARKS:
        touches_space = mark + " " in text or " " + mark in text
        result = result.replace(mark, "" if touches_space or number_with_comma else " ")
    return result


def without_periods(text):
    result, n_removed = "", 0
    for i, letter in enumerate(text):
        followed_by_digit = i + 1 < len(text) and re.match(r"\d", text[i + 1])
        if letter == "." and not followed_by_digit and n_removed < 32:
            n_removed += 1
        else:
            result += letter
    return result


def with_words_replaced(text):
    words = []
    for word in text.lower().split():
        if word == "none":
            word = "0"
        elif word in NUMBERS:
            word = str(NUMBERS.index(word))
        if word not in ("a", "an", "the"):
            words.append(CONTRACTIONS.get(word, word))
    return " ".join(words)


def normalize(text):
    return with_words_replaced(without_periods(without_marks(clean(text))))


def question_accuracy(answers, prediction):
    """One question's accuracy; each answer is the dict of the annotations file."""
    people = [{**answer, "answer": clean(answer["answer"])} for answer in answers]
    prediction = clean(prediction)
    if any(person["answer"] != people[0]["answer"] for person in people):
        people = [{**person, "answer": normalize(person["answer"])} for person in people]
        prediction = normalize(prediction)
    accuracies = []
    for person in people:
        others = [other for other in people if other != person]
        n_matching = len([other for other in others if other["answer"] == prediction])
        accuracies.append(min(1, n_matching / 3))
    return plain_sum(accuracies) / len(accuracies)


def plain_sum(values):
    total = (
        0.0  # from Python 3.12 on, sum() adds floats up more exactly than the official code's did
    )
    for value in values:
        total += value
    return total


def percentage(accuracies):
    return round(100 * plain_sum(accuracies) / len(accuracies), 2)


def evaluate(annotations_path, results_path):
    """Overall accuracy, by answer type, by question type, and each question's own."""
    annotations = json.loads(Path(annotations_path).read_text("utf-8"))["annotations"]
    results = json.loads(Path(results_path).read_text("utf-8"))
    predictions = {result["question_id"]: result["answer"] for result in results}
    accuracies, by_answer_type, by_question_type = [], {}, {}
    for annotation in annotations:
        accuracy = question_accuracy(annotation["answers"], predictions[annotation["question_id"]])
        accuracies.append(accuracy)
        by_answer_type.setdefault(annotation["answer_type"], []).append(accuracy)
        by_question_type.setdefault(annotation["question_type"], []).append(accuracy)
    return (
        percentage(accuracies),
        {kind: percentage(values) for kind, values in by_answer_type.items()},
        {kind: percentage(values) for kind, values in by_question_type.items()},
        accuracies,
    )
