"""A small dictionary that each worker loads once: the example of an initializer that keeps a value."""

from __future__ import annotations

_LANGUAGES = {
    "en": {"okazja": "opportunity", "las": "forest"},
    "de": {"okazja": "Gelegenheit", "las": "Wald"},
}

_words: dict[str, str] = {}


def load(language: str) -> None:
    """Keep the words of this language, "en" or "de", for the items to come: it stands for a slow file."""
    _words.update(_LANGUAGES[language])


def look_up(word: str) -> str:
    """The translation of a word, in the language that `load` was given. KeyError if it is unknown."""
    return _words[word]
