"""Multiple choice asked of a model behind an address: does wording change the choice?

The letters are scored by the echoed prompt, or read from the likeliest first tokens, or
from what the model writes; the typed route tells a probability for every option. Where
no letter can be read there is no answer: nothing is chosen, and nothing is right.

It cannot show what a letter that is not told would have scored.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
from jaxtyping import Float

from concord.analyses.blocks import blocks_of
from concord.analyses.choice_rows import Asked, asked_in, settings_of
from concord.analyses.columns import floats, in_question_order, strings
from concord.analyses.part import Part, Task
from concord.analyses.served import PART_PROMPTS, echoed_endings
from concord.data.choices import LETTERS, ChoiceData
from concord.endpoints.connection import Connection
from concord.endpoints.contexts import served_contexts
from concord.endpoints.named import named_letter
from concord.endpoints.replies import Written
from concord.models.contexts import Context

_NAN = float("nan")


@dataclass(frozen=True, eq=False)
class Choice:
    """What an endpoint chose; None and NaN where it does not tell."""

    letter: int | None
    """Place of the letter."""
    scores: Float[np.ndarray, " letter"]
    """Log-probability of each letter, in nats; NaN where it is not told."""
    has_answer: bool | None
    """The likeliest token of all is a letter."""
    free: str | None = None
    free_log_probability: float = _NAN
    letters_are_whole: bool = True
    written: str | None = None


def run(task: Task[Connection]) -> Iterator[Part]:
    """One part for each small block of items in each wording and context."""
    contexts = served_contexts(task.model.served, task.study, "choices")
    for block in blocks_of(task.data.choices, contexts, _items_of_a_block):
        asked = asked_in(block)
        if block.name in task.finished:
            task.advance(len(asked))
            continue
        choose = partial(choice, task.model, block.context)
        found = task.model.ask_all(choose, asked, task.advance)
        prompts = [prompt_of(task.model, block.context, one) for one in asked]
        yield Part(block.name, _rows(asked, block.context, prompts, found))


def prompt_of(connection: Connection, context: Context, asked: Asked) -> str:
    """The text sent: the whole prompt, or on the typed route what precedes options."""
    if connection.offer.route == "decisions":
        return asked.item.frames[asked.wording][0].strip()
    return context.wrap(asked.prompt)


def choice(connection: Connection, context: Context, asked: Asked) -> Choice:
    """Ask one question in one setting.

    Raises:
        ModelError: The server cannot be used, or its tokens do not fit the prompt.
    """
    prompt = prompt_of(connection, context, asked)
    letters = LETTERS[: asked.item.size]
    level = connection.offer.level
    if level == "decisions":
        return _decided(connection, prompt, asked)
    if level == "echo":
        return _scored(connection, prompt, letters)
    reply = connection.write(prompt, tokens=connection.entry.answer_tokens)
    if level == "top" and reply.tokens and reply.tokens.top:
        return _from_first_token(reply, letters)
    named = named_letter(reply.text, letters)
    unknown = np.full(len(letters), _NAN)
    return Choice(named, unknown, named is not None, written=reply.text)


def _scored(connection: Connection, prompt: str, letters: str) -> Choice:
    """Every letter by the echo of the prompt with the letter behind it."""
    found, _, free, number = echoed_endings(connection, prompt, list(letters))
    scores = np.array([ending.score for ending in found])
    return Choice(
        letter=int(np.argmax(scores)),
        scores=scores,
        has_answer=free in {ending.tokens[0] for ending in found},
        free=free,
        free_log_probability=_NAN if number is None else number,
        letters_are_whole=all(len(ending.tokens) == 1 for ending in found),
    )


def _from_first_token(reply: Written, letters: str) -> Choice:
    """The letters among the likeliest first tokens; blanks around them aside.

    A letter's probability is the sum over the tokens that read as it.
    """
    assert reply.tokens is not None
    alternatives = reply.tokens.top[0]
    scores = np.full(len(letters), _NAN)
    for place, letter in enumerate(letters):
        own = [v for token, v in alternatives.items() if token.strip() == letter]
        if own:
            scores[place] = np.logaddexp.reduce(own)
    free = reply.tokens.texts[0]
    number = reply.tokens.log_probabilities[0]
    is_told = bool(np.any(~np.isnan(scores)))
    return Choice(
        letter=int(np.nanargmax(scores)) if is_told else None,
        scores=scores,
        has_answer=free.strip() in tuple(letters),
        free=free,
        free_log_probability=_NAN if number is None else number,
        written=reply.text,
    )


def _decided(connection: Connection, state: str, asked: Asked) -> Choice:
    """The typed route: options by their text, by letter where two are the same."""
    texts = [asked.question.options[place] for place in asked.places]
    options: dict[str, str | None] = dict.fromkeys(texts)
    if len(options) < len(texts):
        options = dict(zip(LETTERS, texts, strict=False))
    probabilities = np.array(connection.decide(state, options))
    with np.errstate(divide="ignore"):
        scores = np.log(probabilities)
    return Choice(int(np.argmax(probabilities)), scores, has_answer=None)


def _rows(
    asked: Sequence[Asked],
    context: Context,
    prompts: Sequence[str],
    found: Sequence[Choice],
) -> pa.Table:
    """One row for each prompt, with the columns of local models."""
    pairs = list(zip(asked, found, strict=True))
    options = [
        None if one.letter is None else own.places[one.letter] for own, one in pairs
    ]
    questions = [own.question for own in asked]
    chosen = list(zip(questions, options, strict=True))
    best = [_best_two(one.scores) for one in found]
    count = len(asked)
    return pa.table(
        {
            **settings_of(asked, context, prompts),
            "letter": strings(
                None if c.letter is None else LETTERS[c.letter] for c in found
            ),
            "right_letter": strings([own.right_letter for own in asked]),
            "option": pa.array(options, pa.int8()),
            "content": pa.array(
                [None if o is None else q.contents[o] for q, o in chosen], pa.int8()
            ),
            "answer": strings(None if o is None else q.options[o] for q, o in chosen),
            "right_option": pa.array([q.answer for q in questions], pa.int8()),
            "is_correct": pa.array([o == q.answer for q, o in chosen]),
            "score": floats(np.array([one for one, _ in best])),
            "margin": floats(np.array([one - two for one, two in best])),
            "is_tie": pa.array(
                [None if np.isnan(two) else one == two for one, two in best],
                pa.bool_(),
            ),
            "scores": pa.array(
                [in_question_order(c.scores, own.places) for own, c in pairs],
                pa.list_(pa.float32()),
            ),
            "free_prediction": strings([c.free for c in found]),
            "free_log_probability": floats(
                np.array([c.free_log_probability for c in found])
            ),
            "has_answer": pa.array([c.has_answer for c in found], pa.bool_()),
            "option_alone": pa.nulls(count, pa.int8()),
            "score_alone": pa.nulls(count, pa.float32()),
            "letters_are_whole": pa.array([c.letters_are_whole for c in found]),
            "written": strings([c.written for c in found]),
        }
    )


def _best_two(scores: Float[np.ndarray, " letter"]) -> tuple[float, float]:
    """The best score and the next; NaN where not two were told."""
    told = np.sort(scores[~np.isnan(scores)])[::-1]
    padded = [*told.tolist(), _NAN, _NAN]
    return padded[0], padded[1]


def _items_of_a_block(data: ChoiceData) -> int:
    return max(1, PART_PROMPTS // len(data.orders))
