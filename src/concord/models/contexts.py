"""The text around a prompt: the study's three contexts for base and for tuned models.

Source: Fierro et al. (2024), Table 3, verbatim. Base context k and tuned context k are
no pair. In the tuned fact contexts the filled template stands in the assistant's turn,
so the model goes on with it; the role tags are plain text.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from concord.errors import ModelError
from concord.study import ContextSet, ModelEntry

Kind = Literal["base", "tuned"]
Task = Literal["facts", "sentences", "choices", "answers"]

FACT_INSTRUCTIONS = (
    "Complete the sentence with as few words as possible.",
    "Provide concise info to complete sentence.",
    "Please finish the sentence.",
)
SENTENCE_INSTRUCTIONS = (
    "Summarize the main message of the following sentence.",
    "What does this sentence mean?",
    "",
)
ANSWER_PREFIX = "The answer is:"
"""Begins the assistant's turn of multiple choice questions, as in Open-Instruct."""
_BASE = {
    "facts": ("{}", "Everyone knows that {}", "It is widely known that {}"),
    "sentences": (
        "{}",
        "Consider the following sentence: {}",
        "Summarize the main message of the following sentence.\n{}",
    ),
    "choices": ("{}",),
    "answers": ("{}",),
}
_TUNED = {
    "facts": tuple(
        f"<|user|>\n{instruction}\n<|assistant|>\n{{}}"
        for instruction in FACT_INSTRUCTIONS
    ),
    "sentences": (
        "<|user|>\nSummarize the main message of the following sentence.\n{}\n"
        "<|assistant|>\n",
        "<|user|>\nWhat does this sentence mean?\n{}\n<|assistant|>\n",
        "<|user|>\n{}\n<|assistant|>\n",
    ),
    "choices": (f"<|user|>\n{{}}\n<|assistant|>\n{ANSWER_PREFIX}",),
    "answers": ("<|user|>\n{}\n<|assistant|>\n",),
}
_UNTAGGED = {
    "facts": tuple(f"{instruction}\n{{}}" for instruction in FACT_INSTRUCTIONS),
    "sentences": tuple(
        f"{instruction}\n{{}}".lstrip("\n") for instruction in SENTENCE_INSTRUCTIONS
    ),
    "choices": (f"{{}}\n{ANSWER_PREFIX}",),
    "answers": ("{}\n",),
}
SENTINEL = "<extra_id_0>"
"""The first gap of models that were trained to fill gaps (T5)."""
_FIXED_DAY = (
    "{%- macro strftime_now(format) -%}"
    "{{ {'%Y-%m-%d': '2024-07-26'}.get(format, '26 Jul 2024') }}"
    "{%- endmacro -%}"
)
"""Stands before a chat template: the day that LLaMA's prints where it has no clock."""
_PLACE = "concord-place-of-the-sentence"


@dataclass(frozen=True)
class Context:
    """One text around the prompts of an analysis."""

    contexts: ContextSet
    index: int
    text: str
    """Holds ``{}`` once, where the filled template or the sentence goes."""
    has_special_tokens: bool = False
    """The text holds its special tokens itself (chat templates): add none."""
    ends_in_gap: bool = False
    """A sentinel follows the prompt, and precedes what answers it in the decoder."""

    def wrap(self, sentence: str) -> str:
        """The whole prompt."""
        before, after = self.text.split("{}")
        text = f"{before}{sentence}{after}"
        return with_sentinel(text) if self.ends_in_gap else text


def contexts_of(
    entry: ModelEntry,
    tokenizer: PreTrainedTokenizerBase | None,
    *,
    kind: Kind,
    task: Task,
    names: Sequence[ContextSet],
    base_entry: ModelEntry,
) -> tuple[Context, ...]:
    """All contexts a model is measured in for a task.

    The base is measured in its study contexts only; a tuned model also in the base's
    (``same``) and in its chat template (``chat``) where the study asks for them.

    Raises:
        ModelError: A chat template is asked for and the tokenizer has no usable one.
    """
    if kind == "base":
        found = _own_contexts(entry, task) or _contexts("study", _BASE[task])
        return _with_gaps(found, entry, task)
    found = _with_gaps(_study_contexts(entry, tokenizer, task), entry, task)
    is_chat = any(context.has_special_tokens for context in found)
    if "same" in names:
        texts = [context.text for context in _own_contexts(base_entry, task)]
        same = _contexts("same", texts or _BASE[task])
        found += _with_gaps(same, base_entry, task)
    if "chat" in names and not is_chat:
        texts = _chat_texts(tokenizer, task, entry.label)
        chat = _contexts("chat", texts, has_special_tokens=True)
        found += _with_gaps(chat, entry, task)
    return found


def with_sentinel(text: str) -> str:
    """The prompt with a gap at its end, for models trained to fill gaps."""
    return f"{text.rstrip()} {SENTINEL}"


def study_contexts(kind: Kind, task: Task) -> tuple[str, ...]:
    """Table 3's texts of a kind of model, with the tuned models' plain role tags."""
    return (_BASE if kind == "base" else _TUNED)[task]


def prompt_format(
    entry: ModelEntry, tokenizer: PreTrainedTokenizerBase | None
) -> Literal["role_tags", "chat", "instruction"]:
    """How a tuned model is asked in its study contexts.

    Source: Fierro et al. leave the prompts of Flan-T5 and Falcon-Instruct open; the
    order of choice is ours.
    """
    if entry.prompt_format != "auto":
        return entry.prompt_format
    if entry.source.startswith("embedded:") or "/open-instruct-" in entry.source:
        return "role_tags"
    return "chat" if getattr(tokenizer, "chat_template", None) else "instruction"


def _study_contexts(
    entry: ModelEntry, tokenizer: PreTrainedTokenizerBase | None, task: Task
) -> tuple[Context, ...]:
    own = _own_contexts(entry, task)
    if own:
        return own
    chosen = prompt_format(entry, tokenizer)
    if chosen == "chat":
        texts = _chat_texts(tokenizer, task, entry.label)
        return _contexts("study", texts, has_special_tokens=True)
    return _contexts("study", (_TUNED if chosen == "role_tags" else _UNTAGGED)[task])


def _own_contexts(entry: ModelEntry, task: Task) -> tuple[Context, ...]:
    own = {
        "facts": entry.fact_contexts,
        "sentences": entry.sentence_contexts,
        "choices": entry.choice_contexts,
        "answers": entry.answer_contexts,
    }[task]
    return _contexts("study", own or ())


def _contexts(
    name: ContextSet, texts: Sequence[str], *, has_special_tokens: bool = False
) -> tuple[Context, ...]:
    return tuple(
        Context(name, index, text, has_special_tokens)
        for index, text in enumerate(texts)
    )


def _with_gaps(
    contexts: tuple[Context, ...], entry: ModelEntry, task: Task
) -> tuple[Context, ...]:
    """Prompts of which an answer is scored end in a gap where a model is asked so."""
    is_asked = entry.sentinel and task in ("facts", "choices")
    return tuple(replace(context, ends_in_gap=is_asked) for context in contexts)


def _chat_texts(
    tokenizer: PreTrainedTokenizerBase | None, task: Task, label: str
) -> tuple[str, ...]:
    if tokenizer is None or not getattr(tokenizer, "chat_template", None):
        raise ModelError(
            f"{label}: found no chat template in its tokenizer; needed one for "
            "contexts 'chat'; leave 'chat' out, or give the model's own contexts "
            "(fact_contexts, sentence_contexts) in the study file"
        )
    if task == "facts":
        unable = "a sentence cannot be continued"
        return tuple(
            _begun_chat(tokenizer, instruction, _PLACE, label, unable)
            for instruction in FACT_INSTRUCTIONS
        )
    if task == "choices":
        unable = "a letter cannot follow"
        return (_begun_chat(tokenizer, _PLACE, ANSWER_PREFIX, label, unable),)
    if task == "answers":
        return (_sentence_chat(tokenizer, "", label),)
    return tuple(
        _sentence_chat(tokenizer, text, label) for text in SENTENCE_INSTRUCTIONS
    )


def _begun_chat(
    tokenizer: PreTrainedTokenizerBase,
    asked: str,
    begun: str,
    label: str,
    unable: str,
) -> str:
    """The user's turn and an assistant's turn that is begun, for the model to go on.

    Args:
        tokenizer: Of the model.
        asked: The user's turn.
        begun: The first words of the assistant's.
        label: The model's.
        unable: What cannot be done where the template ends the assistant's turn.
    """
    messages = [
        {"role": "user", "content": asked},
        {"role": "assistant", "content": begun},
    ]
    text = _rendered(tokenizer, messages, label, continue_final_message=True)
    if not text.endswith(begun):
        raise ModelError(
            f"{label}: its chat template puts text behind an unfinished assistant "
            f"turn, so {unable}; leave 'chat' out of contexts"
        )
    return _with_slot(text, label)


def _sentence_chat(
    tokenizer: PreTrainedTokenizerBase, instruction: str, label: str
) -> str:
    content = f"{instruction}\n{_PLACE}".lstrip("\n")
    messages = [{"role": "user", "content": content}]
    return _with_slot(
        _rendered(tokenizer, messages, label, add_generation_prompt=True), label
    )


def _rendered(
    tokenizer: PreTrainedTokenizerBase,
    messages: list[dict[str, str]],
    label: str,
    **options: Any,
) -> str:
    """The messages as text; transformers runs templates in a sandbox.

    Templates that print today's date print one fixed day: a study asks tomorrow what it
    asks today.
    """
    try:
        options["chat_template"] = _FIXED_DAY + str(tokenizer.get_chat_template())
        return str(tokenizer.apply_chat_template(messages, tokenize=False, **options))
    except (ValueError, TemplateError) as error:
        raise ModelError(
            f"{label}: its chat template cannot be used ({error}); leave 'chat' out of "
            "contexts, or choose another prompt_format"
        ) from error


def _with_slot(text: str, label: str) -> str:
    if text.count(_PLACE) != 1 or "{}" in text:
        raise ModelError(
            f"{label}: its chat template does not print the sentence exactly once; "
            "leave 'chat' out of contexts"
        )
    return text.replace(_PLACE, "{}")
