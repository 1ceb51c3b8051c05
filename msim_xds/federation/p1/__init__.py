"""P1, the Polish national platform, as the other side: tokens, index, address book, consent decisions.

P1 is one XDS.b domain with services of its own around it, and no XCA community. None of this has met the real
platform; docs/p1.md says what each part rests on.
"""
