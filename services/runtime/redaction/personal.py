"""Finds personal data: what is masked wherever it stands (cards, accounts, security numbers), and lists of people.

An e-mail address or a phone number is ordinary in code and commands, and an approver needs it to know who is meant: neither
is masked, and only many of them in one text, or one result, are a factor.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import islice

from services.runtime import patterns

# Different addresses, or numbers, from which a text is a list of people: more than a team, its reviewers and a licence's authors.
MANY_PEOPLE = 50
_COUNTED = 5000  # of one text; what comes after changes nothing

# Digits, alone or in groups with one separator between them; what is inside of a run is looked at by groups.
_DIGITS = patterns.compile(r"\b\d(?:[ -]?\d){12,}\b")
_DOUBLED = {str(digit): sum(divmod(2 * digit, 10)) for digit in range(10)}
_IBAN = patterns.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b")
# Characters of an account number by country, from the IBAN registry (ISO 13616).
_IBAN_LENGTHS = {
    country: int(length)
    for length, countries in (
        line.split(":")
        for line in (
            "15:NO",
            "16:BE",
            "18:DK FO FI GL NL SD",
            "19:MK SI",
            "20:AT BA EE KZ LT LU XK MN",
            "21:CH HR LI LV",
            "22:BG BH CR DE GB GE IE ME RS VA",
            "23:AE GI IL IQ TL OM SO",
            "24:AD CZ ES MD PK RO SA SE SK TN VG",
            "25:LY PT ST",
            "26:IS TR",
            "27:BI DJ FR GR IT MC MR SM",
            "28:AL AZ BY CY DO GT HN HU LB PL NI SV",
            "29:BR EG PS QA UA",
            "30:JO KW MU YE",
            "31:MT SC",
            "32:LC",
            "33:RU",
        )
    )
    for country in countries.split()
}
_SSN = patterns.compile(r"\b\d{3}-\d{2}-\d{4}\b")
_SSN_CONTEXT = patterns.compile(r"(?i)\bssn|[^a-z]ssn\b|social.?security|tax.?payer|\btin\b|\bitin\b")
_EMAIL = patterns.compile(r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}")
_PHONE = patterns.compile(r"\+\d{1,3}[ .-]?\(?\d{1,4}\)?(?:[ .-]?\d{2,4}){2,4}\b|(?:\(\d{3}\) ?|\b\d{3}[.-])\d{3}[.-]\d{4}\b")

MESSAGES = {
    "card": "Contains the number of a payment card.",
    "iban": "Contains a bank account number.",
    "ssn": "Contains a social security number.",
}


def find(text: str) -> Iterator[tuple[str, int, int]]:
    """The numbers that are masked: what it is (card, iban, ssn), and from where to where, in characters."""
    for start, end in _cards(text):
        yield "card", start, end
    for match in _IBAN.finditer(text):
        if length := _iban_chars(match.group()):
            yield "iban", match.start(), match.start() + length
    if "-" in text and _SSN_CONTEXT.search(text):
        for match in _SSN.finditer(text):
            area, group, serial = match.group().split("-")
            if area not in ("000", "666") and area < "900" and group != "00" and serial != "0000":
                yield "ssn", *match.span()


def _cards(text: str) -> Iterator[tuple[int, int]]:
    for run in _DIGITS.finditer(text):
        # A decimal fraction has as many digits, and one in ten passes the check.
        if text[run.start() - 1 : run.start()] == ".":
            continue
        groups = run.group().replace("-", " ").split(" ")
        at, position = 0, run.start()
        while at < len(groups):
            count = _grouping(groups, at)
            if _is_card(groups[at : at + count]):
                end = position + sum(map(len, groups[at : at + count])) + count - 1
                yield position, end
                at, position = at + count, end + 1
            else:
                position += len(groups[at]) + 1
                at += 1


def _grouping(groups: list[str], at: int) -> int:
    """How many groups from one on may be a card's number, as they are printed: 4-4-4-4, 4-6-5, 4-6-4, or one."""
    if len(groups[at]) != 4 or at + 3 > len(groups):
        return 1
    second, third = len(groups[at + 1]), len(groups[at + 2])
    if second == 4:
        return 4 if third == 4 and at + 3 < len(groups) and len(groups[at + 3]) == 4 else 1
    return 3 if second == 6 and third in (4, 5) else 1


def _is_card(groups: list[str]) -> bool:
    """Whether a number is one that a network issues, and its check digit is right (Luhn, ISO/IEC 7812-1)."""
    length = sum(map(len, groups))
    if not 14 <= length <= 16 or not _is_issued(length, int(groups[0][:4])):
        return False
    if len(groups) == 4:
        return sum(map(_sum_of_four, groups)) % 10 == 0
    digits = "".join(groups)
    return (sum(map(_DOUBLED.__getitem__, digits[-2::-2])) + sum(map(int, digits[::-2]))) % 10 == 0


@cache
def _sum_of_four(digits: str) -> int:
    """What four of a card's sixteen digits add to its sum: the first and the third count double."""
    return _DOUBLED[digits[0]] + int(digits[1]) + _DOUBLED[digits[2]] + int(digits[3])


def _is_issued(length: int, head: int) -> bool:
    """Whether a network issues numbers of a length with these four digits first; others are order numbers and time stamps."""
    if length == 16:  # Visa, Mastercard (two ranges), Discover (three), JCB, UnionPay
        return (
            4000 <= head <= 4999
            or 5100 <= head <= 5599
            or 2221 <= head <= 2720
            or head == 6011
            or 6440 <= head <= 6599
            or 3528 <= head <= 3589
            or 6200 <= head <= 6299
        )
    if length == 15:  # American Express
        return head // 100 in (34, 37)
    return length == 14 and (3000 <= head <= 3059 or head // 100 in (36, 38))  # Diners Club


def _iban_chars(text: str) -> int:
    """How many characters at the beginning of a text are an account number with right check digits (ISO 7064); 0 if none."""
    wanted = _IBAN_LENGTHS.get(text[:2], 0)
    plain = text.replace(" ", "")[:wanted]
    if not wanted or len(plain) < wanted:
        return 0
    number = "".join(str(int(char, 36)) for char in plain[4:] + plain[:4])
    if int(number) % 97 != 1:
        return 0
    seen = 0
    for at, char in enumerate(text, 1):
        seen += char != " "
        if seen == wanted:
            return 0 if text[at : at + 1].isalnum() else at
    return 0


class People:
    """Counts the people in texts that belong together: different e-mail addresses, and different phone numbers."""

    def __init__(self) -> None:
        self._emails: set[str] = set()
        self._phones: set[str] = set()

    def add(self, text: str) -> None:
        """Look through one more text."""
        if "@" in text and len(self._emails) < _COUNTED:
            self._emails.update(match.group().lower() for match in islice(_EMAIL.finditer(text), _COUNTED))
        if len(text) > 6 and not text.isalpha() and len(self._phones) < _COUNTED:
            for match in islice(_PHONE.finditer(text), _COUNTED):
                self._phones.add("".join(filter(str.isdigit, match.group())))

    def many(self) -> dict[str, int]:
        """How many there are of what there are many of: "e-mail addresses", "phone numbers"."""
        counts = {"e-mail addresses": len(self._emails), "phone numbers": len(self._phones)}
        return {what: count for what, count in counts.items() if count >= MANY_PEOPLE}
