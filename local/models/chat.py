"""A sample model that speaks OpenAI's chat completions protocol, and quotes sentences of this project's documentation.

It is tiny, and not a language model: it looks for the sentence that shares the most and the rarest words with the last
message of the user. So its answers are the same in each run, and every answer says what it is.
"""

import hashlib
import json
import math
import re
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from local.models.contract import InputError, Prediction

NAME = "docs-quotations"
NOTE = "This sample model finds sentences, it does not write them."
_ROOT = Path(__file__).parents[2]
_NOT_PROSE = re.compile(r"^```.*?^```|^[|#<][^\n]*$", re.MULTILINE | re.DOTALL)
_PARAGRAPHS = re.compile(r"\n\s*\n|^[-*] |^\d+\. ", re.MULTILINE)
_SENTENCES = re.compile(r"(?<=[.!?])\s+(?=[A-Z`])")
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
_WORD = re.compile(r"[a-z0-9]+")
_TOKEN = re.compile(r"\s*(?:\w+|[^\w\s])")
_LENGTHS = range(40, 300)  # characters of a sentence


class Chat:
    """The model."""

    def __init__(self) -> None:
        self._sentences = [
            (sentence, path.relative_to(_ROOT).as_posix())
            for path in [_ROOT / "README.md", *sorted((_ROOT / "docs").glob("*.md"))]
            for sentence in _sentences(path.read_text())
        ]
        self._words = [frozenset(_words(sentence)) for sentence, _ in self._sentences]
        frequencies = Counter(word for words in self._words for word in words)
        # The squared inverse document frequency, and for each sentence the length of its vector (tf-idf).
        self._weights = {word: math.log(len(self._words) / count) ** 2 for word, count in frequencies.items()}
        self._norms = [math.sqrt(sum(self._weights[word] for word in words)) or 1.0 for words in self._words]

    def predict(self, body: bytes, content_type: str, accept: str) -> Prediction:  # noqa: ARG002 - it always answers JSON
        """A chat completion. Raises `InputError` with an error in OpenAI's form."""
        request = _request(body, content_type)
        prompt = _prompt(request)
        content, reason = _cut(self.answer(prompt), request)
        tokens = sum(_count(_text(message)) for message in request["messages"])
        completion = {
            "id": f"chatcmpl-{hashlib.sha256(body).hexdigest()[:24]}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": NAME,
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": content},
                    "logprobs": None,
                    "finish_reason": reason,
                }
            ],
            "usage": {
                "prompt_tokens": tokens,
                "completion_tokens": _count(content),
                "total_tokens": tokens + _count(content),
            },
        }
        return Prediction(json.dumps(completion).encode(), "application/json")

    def answer(self, prompt: str) -> str:
        """The quotation for a prompt, with the name of its page."""
        asked = set(_words(prompt))
        scores = [
            sum(self._weights[word] for word in asked & words) / norm
            for words, norm in zip(self._words, self._norms, strict=True)
        ]
        best = max(range(len(scores)), key=scores.__getitem__)
        if not scores[best]:
            return f"No sentence of the documentation has a word of this prompt. {NOTE}"
        sentence, page = self._sentences[best]
        return f"“{sentence}” ({page}) {NOTE}"


def _sentences(text: str) -> Iterable[str]:
    for paragraph in _PARAGRAPHS.split(_NOT_PROSE.sub("", text)):
        for sentence in _SENTENCES.split(_LINK.sub(r"\1", " ".join(paragraph.split()))):
            plain = sentence.replace("**", "")
            if len(plain) in _LENGTHS and plain.endswith("."):
                yield plain


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _count(text: str) -> int:
    """The tokens of a text: its words and punctuation marks."""
    return len(_TOKEN.findall(text))


def _refused(message: str, param: str | None = None, status: int = 400) -> InputError:
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": None}
    return InputError(message, status, document={"error": error})


def _request(body: bytes, content_type: str) -> dict[str, Any]:
    if content_type != "application/json":
        raise _refused(f"send application/json, not {content_type or 'nothing'}", status=415)
    try:
        request = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _refused(f"the body is not JSON: {error}") from None
    if not isinstance(request, dict):
        raise _refused('send {"model": …, "messages": [{"role": "user", "content": …}]}')
    if not isinstance(request.get("model"), str):
        raise _refused("model: must be a string", "model")
    if request.get("stream"):
        raise _refused("stream: this model answers at once; leave it out", "stream")
    if request.get("n", 1) != 1:
        raise _refused("n: this model has one answer; leave it out", "n")
    messages = request.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(one, dict) for one in messages):
        raise _refused("messages: must be an array of objects with role and content", "messages")
    return request


def _prompt(request: dict[str, Any]) -> str:
    """The text of the last message of the user."""
    texts = [_text(message) for message in request["messages"] if message.get("role") == "user"]
    if not texts:
        raise _refused("messages: there is none whose role is user", "messages")
    return texts[-1]


def _text(message: dict[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, list):
        parts = [part.get("text") if isinstance(part, dict) else None for part in content]
        content = " ".join(part for part in parts if isinstance(part, str))
    if not isinstance(content, str):
        raise _refused("messages: the content must be a string, or an array of parts with text", "messages")
    return content


def _cut(text: str, request: dict[str, Any]) -> tuple[str, str]:
    """The answer as far as the request allows, and the reason why it ends."""
    limit = request.get("max_completion_tokens") or request.get("max_tokens")
    if limit is None:
        return text, "stop"
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
        raise _refused("max_completion_tokens: must be an integer over 0", "max_completion_tokens")
    tokens = _TOKEN.findall(text)
    return (text, "stop") if len(tokens) <= limit else ("".join(tokens[:limit]), "length")
