"""The rules of the Penn Treebank tokenizer as of Stanford's version 3.4.1.

Rules compete: the longest match wins, then the first. ``RULES`` lists them first to last with what
is made of the text matched; the notation is that of ``expressions``. Run as a module, this
writes the table anew that the lexer uses.
"""

from dataclasses import dataclass

from ..forms import Action
from ..lexer_table import TABLE_FILE, LexerTable, save_lexer_table
from .automaton import Pattern, compile_patterns
from .characters import DIGITS, LETTERS, MARKS, SYMBOLS
from .expressions import CharacterSet, Expression, character_ranges, parse


@dataclass(frozen=True)
class Rule:
    """Text that matches ``pattern``, when ``ahead`` follows, is one token made by ``action``."""

    action: Action
    pattern: str
    ahead: str | None = None


def words(text: str) -> str:
    """One of the words, in any case."""
    return "(" + "|".join(text.split()) + ")"


def capitalised(text: str) -> str:
    """One of the words, with a capital first letter."""
    return "(" + "|".join(f"[{word[0].upper()}]{word[1:]}" for word in text.split()) + ")"


# Named parts, each made of those above it.
PARTS = {
    "space": r"[\u0020\u0009\u00A0\u2000-\u200A\u3000]",
    "newline": r"\u000D|\u000D?\u000A|[\u2028\u2029\u000B\u000C\u0085]",
    "blank": r"<space>|<newline>",
    "tag_name": r"[A-Za-z][A-Za-z0-9_:.\-]*",
    "tag_value": r"""'[^']*' | "[^"]*" """,
    "tag": r"""\<( [!?][A-Za-z\-][^>\u000D\u000A]*
        | <tag_name>([\u0020]+<tag_name>([\u0020]*=[\u0020]*(<tag_value>))?)*[\u0020]*/?
        | /<tag_name> )[\u0020]*>""",
    "end": r"(<blank>)(<blank>|<upper>|<tag>)",
    # Letters, words and numbers.
    "letter": r"<alpha>|<mark>|&[aeiouAEIOU](acute|grave|uml);",
    "word": r"(<letter>)(<letter>|<digit>)*([.!?](<letter>)(<letter>|<digit>)*)*",
    "number": r"[\-+]?(<digit>+|<digit>*([.:,\u00AD\u066B\u066C]<digit>+)+)",
    "slash": r"\\?/|\u2044",
    # Apostrophes; the second kind includes what only looks like one.
    "apostrophe": r"['\u0092\u2019]|&apos;",
    "any_apostrophe": r"<apostrophe>|[`\u0091\u2018\u201B]",
    "clitic": r"(<apostrophe>)([msdMSD]|re|ve|ll)",
    "negation": r"n(<any_apostrophe>)t",
    "hyphen": r"[\-_\u058A\u2010\u2011]",
    "elision": r"[dDoOlL](<any_apostrophe>)[<alpha><digit>]",
    "compound_part": r"(<elision>)?[<alpha><digit>]+",
    # Abbreviations.
    "initials": r"""[A-Za-z](\.[A-Za-z])+ | (Canada|Sino|Korean|EU|Japan|non)-U\.S
        | U\.S\.-(U\.K|U\.S\.S\.R)""",
    "acronym": r"[A-Za-z] | <initials>",
    "usually_inside": words("Jan Feb Mar Apr Jun Jul Aug Sep Sept Oct Nov Dec")
    + "|"
    + words("Mon Tue Tues Wed Thu Thurs Fri")
    + "|"
    + words(
        "Ala Ariz Calif Colo Conn Ct Dak Fla Ga Ind Kans? Ky Md Mich Minn Mo Mont Neb Nev Okla"
        " Penn Tenn Va Vt Wisc? Wyo"
    )
    # States whose names are common words too, only when written as names.
    + "|"
    + capitalised("az ark del ill la mass miss ore pa tex wash")
    + "|"
    + words("Inc Cos? Corp Pp?t[ye]s? Ltd Plc Rt Bancorp Bhd Assn Univ Intl Sys")
    + "|"
    + words(r"tel est ext sq Jr Sr Bros (Ed|Ph)\.D Blvd Rd Esq etc al seq Bldg"),
    "before_a_name": words(
        "Mr Mrs Ms [M]iss Drs? Profs? Sens? Reps? Attys? Lt Col Gen Messrs Govs? Adm Rev Maj Sgt"
        " Cpl Pvt Capt Ste? Ave Pres Lieut Hon Brig Co?mdr Pfc Spc Supts? Det Mt Ft Adj Adv Asst"
        " Assoc Ens Insp Mlle Mme Msgr Sfc Invt Elec Natl M[ft]g Dept"
    )
    + "|"
    + words(r"vs Alex Wm Jos Cie a\.k\.a cf TREAS Ph")
    + "|<acronym>",
    "before_a_number": words("ca figs? prop nos? art bldg pp op"),
    # Words that, after an acronym, begin a new sentence.
    "opener": capitalised(
        "about according additionally after an a as at but earlier he her here however if in it"
        r" last many more mr\. ms\. now once one other our she since so some such that the their"
        " then there these they this we when while what yet you"
    )
    + "|<tag>",
    # Hyphenated words.
    "slashed_part": r"[A-Za-z0-9]+(-[A-Za-z]+){0,2}",
    "hyphenated": r"[A-Za-z0-9][A-Za-z0-9.,\u00AD]*(-([A-Za-z0-9\u00AD]+|(<initials>)\.))+",
    "compound": r"<compound_part>(<hyphen><compound_part>)*",
    "capitals": r"[A-Z]+(([+&]|&amp;)[A-Z]+)+",
    # Addresses.
    "url_inside": r'[^\u0020\u0009\u000A\u000C\u000D"\<>|(){}]',
    "url_last": r'[^\u0020\u0009\u000A\u000C\u000D"\<>|.!?(){},\-]',
    "host_part": r'[^\u0020\u0009\u000A\u000C\u000D"\<>|.!?(){},]+\.',
    # U+002C to U+005F as a range: capitals and digits are out, as in the original.
    "bare_host_part": r"""[^\u0020\u0009\u000A\u000C\u000D"`'\<>|.!?(){}\u002C-\u005F$]+\.""",
    "url_path": r'/[^\u0020\u0009\u000A\u000C\u000D"\<>|()]+<url_last>',
    "mail_inside": r'[^\u0020\u0009\u000A\u000C\u000D"\<>|(){}.\u00A0]+',
    "extension": words(
        "bat bmp c class cgi cpp dll doc docx exe gif gz h htm html jar java jpeg jpg mov mp3 pdf"
        " php pl png ppt ps py sql tar txt wav x xml zip"
    ),
    "quote": r"\"|&quot;",
    "face": r"[=~^x\<>]",
}

A = Action
RULES = (
    Rule(A.KEEP, r"c\+\+ | (c|f)\#"),
    Rule(A.SPLIT_3, r"cannot | 'twas"),
    Rule(A.SPLIT_2, r"'tis | gonna | gotta | lemme | gimme | wanna"),
    Rule(A.TAG, r"<tag>"),
    Rule(A.DASH, r"&(MD|mdash|ndash); | [\u0096\u0097\u2013\u2014\u2015]"),
    Rule(A.AMPERSAND, r"&amp;"),
    Rule(A.KEEP, r"&(HT|TL|UR|LR|QC|QL|QR|odq|cdq|\#[0-9]+);"),
    Rule(A.DROP_SOFT_HYPHENS, r"<word>", ahead=r"<clitic>"),
    Rule(A.DROP_SOFT_HYPHENS, r"[A-Za-z\u00AD]*[A-MO-Za-mo-z]\u00AD*", ahead=r"<negation>"),
    Rule(A.DROP_SOFT_HYPHENS, r"<word>"),
    Rule(
        A.KEEP,
        r"""(<apostrophe>)n(<apostrophe>)? | [lLdDjJ](<apostrophe>)
        | (Dunkin|somethin|ol)(<apostrophe>)
        | (<apostrophe>)(em|[2-9]0s|till?|cause)
        | [A-HJ-XZn](<any_apostrophe>)<alpha><alpha>+ | O(<any_apostrophe>)o
        | <alpha>+[aeiouyAEIOUY](<any_apostrophe>)[aeiouA-Z]<alpha>*
        | cont'd\.? | 'twas | nor'easter | c'mon | e'er | s'mores | ev'ry | li'l | nat'l""",
    ),
    Rule(A.KEEP, r"y(<apostrophe>)", ahead=r"<alpha>"),
    Rule(A.KEEP, r"https?://<url_inside>+<url_last>"),
    Rule(
        A.KEEP,
        r"""( www\.(<host_part>)+[a-zA-Z]{2,4} | (<bare_host_part>)+(com|net|org|edu) )
        (<url_path>)?""",
    ),
    Rule(
        A.KEEP,
        r"""(&lt;|\<)?[a-zA-Z0-9][^\u0020\u0009\u000A\u000C\u000D"\<>|(){}\u00A0]*
        @(<mail_inside>\.)*<mail_inside>(&gt;|>)?""",
    ),
    Rule(A.KEEP, r"@[a-zA-Z_][a-zA-Z_0-9]* | \#(<letter>)+"),
    Rule(A.CLOSING_QUOTE, r"<clitic>", ahead=r"[^A-Za-z]"),
    Rule(A.CLOSING_QUOTE, r"<negation>", ahead=r"[^A-Za-z]"),
    Rule(A.KEEP, r"<digit>{1,2}[\-/]<digit>{1,2}[\-/]<digit>{2,4}"),
    Rule(A.DROP_SOFT_HYPHENS, r"<number>"),
    Rule(
        A.KEEP,
        r"[\u207A\u207B\u208A\u208B]?([\u2070\u00B9\u00B2\u00B3\u2074-\u2079]+|[\u2080-\u2089]+)",
    ),
    Rule(A.JOIN_SPACES, r"(<digit>{1,4}[\-\u0020\u00A0])?<digit>{1,4}(<slash>)<digit>{1,4}"),
    Rule(A.FRACTION, r"[\u00BC\u00BD\u00BE\u2153-\u215E]"),
    Rule(
        A.AMPERSAND,
        r"""-(RRB|LRB|RCB|LCB|RSB|LSB)- | C\.D\.s | pro- | anti- | S(&|&amp;)P-500 | S(&|&amp;)Ls
        | Cap(<apostrophe>)n | c(<apostrophe>)est""",
    ),
    Rule(A.KEEP, r"<slashed_part>(\\?/<slashed_part>){1,2}"),
    Rule(A.KEEP, r"[A-Z]*\$ | \#"),
    Rule(
        A.CURRENCY,
        r"[\u00A2-\u00A5\u0080\u20A0\u20AC\u060B\u0E3F\u20A4\uFFE0\uFFE1\uFFE5\uFFE6]",
    ),
    Rule(A.ACRONYM_AT_END, r"(<acronym>)\.", ahead=r"(<blank>)+(<opener>)(<blank>)"),
    Rule(A.KEEP, r"(<before_a_number>)\.", ahead=r"(<blank>)?<digit>"),
    Rule(A.KEEP, r"(pt[eyEY]|co)\.", ahead=r"<space>(ltd|lim)"),
    Rule(A.PERIOD_TWICE, r"(<usually_inside>)\.", ahead=r"<end>"),
    Rule(A.KEEP, r"(<usually_inside>)\.", ahead=r"<any><any>"),
    Rule(A.PERIOD_TWICE, r"(<usually_inside>)\."),  # at the end of the text
    Rule(A.KEEP, r"(<before_a_name>)\."),
    Rule(A.KEEP, r"<before_a_name>", ahead=r"<space>"),
    Rule(A.KEEP, r"<acronym>", ahead=r"<blank>"),
    Rule(A.KEEP, r"(<apostrophe>)[0-9][0-9]", ahead=r"<blank>"),
    Rule(
        A.KEEP,
        r"(<letter>|<digit>)+(\.(<letter>|<digit>)+)*\.(<extension>)",
        ahead=r"<blank>|[.?!,]",
    ),
    Rule(A.DROP_SOFT_HYPHENS, r"<word>\.", ahead=r"[,;:\u3001]"),
    Rule(
        A.PHONE,
        r"""( \([0-9]{2,3}\)[\u0020\u00A0]?
            | (\+\+?)?([0-9]{2,4}[\-\u0020\u00A0])?[0-9]{2,4}[\-\u0020\u00A0]
            )[0-9]{3,4}[\-\u0020\u00A0]?[0-9]{3,5}
        | ((\+\+?)?[0-9]{2,4}\.)?[0-9]{2,4}\.[0-9]{3,4}\.[0-9]{3,5}""",
    ),
    Rule(A.OPENING_QUOTE, r"<quote>", ahead=r"[A-Za-z0-9$]"),
    Rule(A.CLOSING_QUOTE, r"<quote>"),
    Rule(A.SKIP, r"\u007F"),
    Rule(A.LESS, r"\<|&lt;"),
    Rule(A.GREATER, r">|&gt;"),
    Rule(
        A.ESCAPE_BRACKETS,
        r"[\<>]?[:;=][\-o*']?[()DPdpO\\{@|\[\]]",
        ahead=r"[^A-Za-z0-9]",
    ),
    # The first form reads "[^x=~<>]" letter by letter: the original escapes a bracket there.
    Rule(
        A.ESCAPE_BRACKETS,
        r"""<face>\.\[\^x=~\<>\] | [\-^x=~\<>']_[\-^x=~\<>']
        | \([\-^x=~\<>'][_.]?[\-^x=~\<>']\) | \([\^x=~\<>']-[\^x=~\<>'`]\)""",
    ),
    Rule(A.ESCAPE_BRACKETS, r"[{}\[\]()]"),
    Rule(A.HYPHENS, r"-+"),
    Rule(A.ELLIPSIS, r"\.{3,5} | (\.[\u0020\u00A0]){2,4}\. | [\u0085\u2026]"),
    Rule(A.KEEP, r"@+ | \#+ | _+ | \*+ | (\\\*){1,3} | [,;:\u3001] | [?!]+"),
    Rule(A.KEEP, r"[.\u00A1\u00BF\u037E\u0589\u061F\u06D4\u0700-\u0702\u07FA\u3002=/]"),
    Rule(A.DROP_SOFT_HYPHENS, r"<hyphenated>\.", ahead=r"[,;:\u3001]"),
    Rule(A.DROP_SOFT_HYPHENS, r"<hyphenated>"),
    Rule(A.KEEP, r"<compound>\.", ahead=r"[,;:\u3001]"),
    Rule(A.KEEP, r"<compound>"),
    Rule(A.AMPERSAND, r"<capitals>\.", ahead=r"[,;:\u3001]"),
    Rule(A.AMPERSAND, r"<capitals>"),
    Rule(A.OPENING_QUOTE, r"'", ahead=r"[A-Za-z][^\u0020\u0009\u000A\u000D\u00A0]"),
    Rule(A.CLOSING_QUOTE, r"<clitic> | <negation>"),
    Rule(
        A.CLOSING_QUOTE,
        r"""<apostrophe> | '' | [`\u2018-\u201F\u0091-\u0094\u2039\u203A\u00AB\u00BB]{1,2}""",
    ),
    Rule(A.KEEP, r"\<\< | >>"),
    Rule(A.KEEP, r"<symbol>"),
    # No rule but this one takes U+0020 first; ``lexer`` relies on that.
    Rule(A.SKIP, r"\u0000 | <space>+ | [\u200B\u200E\u200F\uFEFF] | &nbsp;"),
    Rule(A.NEWLINE, r"<newline>"),
    Rule(A.SKIP, r"[^\u000A]"),
)


def uppercase(letters: CharacterSet) -> CharacterSet:
    """The capitals among the letters of Unicode 6.2, and what else counts as a capital there."""
    members = letters.members.copy()
    members[members] = [chr(code).isupper() for code in members.nonzero()[0].tolist()]
    members[0x13A0:0x13F6] = False  # Cherokee had no case yet
    members[0x2160:0x2170] = True  # Roman numerals
    members[0x24B6:0x24D0] = True  # circled letters
    return CharacterSet(members)


def expressions() -> dict[str, Expression]:
    """All named parts, parsed."""
    names: dict[str, Expression] = {
        "alpha": character_ranges(LETTERS),
        "digit": character_ranges(DIGITS),
        "mark": character_ranges(MARKS),
        "symbol": character_ranges(SYMBOLS),
        "upper": uppercase(character_ranges(LETTERS)),
        "any": character_ranges("0-ffff"),
    }
    for name, text in PARTS.items():
        names[name] = parse(text, names)
    return names


def compile_table() -> LexerTable:
    """The automaton of all rules; a second or two."""
    names = expressions()
    return compile_patterns(
        [
            Pattern(
                rule.action,
                parse(rule.pattern, names),
                parse(rule.ahead, names) if rule.ahead else None,
            )
            for rule in RULES
        ]
    )


if __name__ == "__main__":
    save_lexer_table(compile_table(), TABLE_FILE)
