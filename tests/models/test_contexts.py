import pytest
from tiny_models import tiny_tokenizer

from concord.errors import ModelError
from concord.models.contexts import Context, contexts_of, prompt_format
from concord.study import ModelEntry

CHAT = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}"
    "{% if not loop.last %}</s>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def entry(**fields: object) -> ModelEntry:
    return ModelEntry(**{"source": "x/y", "label": "m", **fields})  # pyright: ignore


def texts(kind, task, *, names=("study",), model=None, base=None, chat=None):
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = chat
    model, base = model or entry(), base or entry()
    found = contexts_of(
        model, tokenizer, kind=kind, task=task, names=names, base_entry=base
    )
    return [(context.contexts, context.index, context.text) for context in found]


def test_the_base_gets_table_3():
    assert texts("base", "facts", names=("study", "same")) == [
        ("study", 0, "{}"),
        ("study", 1, "Everyone knows that {}"),
        ("study", 2, "It is widely known that {}"),
    ]


def test_the_studys_tuned_models_get_role_tags():
    model = entry(source="allenai/open-instruct-cot-7b")
    found = texts("tuned", "facts", model=model)
    assert found[2] == (
        "study",
        2,
        "<|user|>\nPlease finish the sentence.\n<|assistant|>\n{}",
    )
    sentences = texts("tuned", "sentences", model=entry(source="embedded:base"))
    assert sentences[2][2] == "<|user|>\n{}\n<|assistant|>\n"


def test_other_tuned_models_get_the_bare_instruction():
    assert texts("tuned", "facts")[2][2] == "Please finish the sentence.\n{}"
    assert texts("tuned", "sentences")[2][2] == "{}"


def test_a_chat_template_is_used_where_there_is_one():
    found = texts("tuned", "facts", chat=CHAT)
    expected = "<user>Please finish the sentence.</s><assistant>{}"
    assert found[2] == ("study", 2, expected)
    sentences = texts("tuned", "sentences", chat=CHAT)
    assert sentences[1][2] == "<user>What does this sentence mean?\n{}<assistant>"


def test_chat_stands_beside_the_study_and_not_twice():
    names = ("study", "same", "chat")
    tagged = entry(prompt_format="role_tags")
    found = texts("tuned", "facts", names=names, model=tagged, chat=CHAT)
    assert [name for name, _, _ in found] == ["study"] * 3 + ["same"] * 3 + ["chat"] * 3
    already = texts("tuned", "facts", names=names, chat=CHAT)
    assert [name for name, _, _ in already] == ["study"] * 3 + ["same"] * 3


def test_same_means_the_bases_own_contexts():
    base = entry(fact_contexts=("Fact: {}",))
    found = texts("tuned", "facts", names=("study", "same"), base=base)
    assert found[-1] == ("same", 0, "Fact: {}")


def test_contexts_of_the_entry_win():
    model = entry(fact_contexts=("Q: {}", "A: {}"))
    assert [text for _, _, text in texts("tuned", "facts", model=model)] == [
        "Q: {}",
        "A: {}",
    ]


def test_chat_without_a_template_is_refused():
    with pytest.raises(ModelError, match="found no chat template"):
        texts("tuned", "facts", names=("study", "chat"))


@pytest.mark.parametrize(
    "template",
    [
        "{% for m in messages %}{{ m.content }}{{ m.content }}{% endfor %}",
        "{% for m in messages %}{% endfor %}nothing",
    ],
)
def test_a_template_that_changes_the_sentence_is_refused(template):
    with pytest.raises(ModelError):
        texts(
            "tuned",
            "facts",
            names=("study", "chat"),
            chat=template,
            model=entry(prompt_format="role_tags"),
        )


def test_a_sentence_with_braces_is_left_alone():
    assert Context("study", 0, "Say {}").wrap("a {} b") == "Say a {} b"


def test_the_format_can_be_chosen():
    tokenizer = tiny_tokenizer()
    assert prompt_format(entry(prompt_format="role_tags"), tokenizer) == "role_tags"
    assert prompt_format(entry(), tokenizer) == "instruction"


def test_answered_prompts_end_in_a_gap_where_the_model_asked_fills_gaps():
    """The same-prompt control asks as the base is asked; sentences have no answer."""

    def ends(task, *, model, base):
        found = contexts_of(
            model,
            tiny_tokenizer(),
            kind="tuned",
            task=task,
            names=("study", "same"),
            base_entry=base,
        )
        return {context.contexts: context.ends_in_gap for context in found}

    gaps, plain = entry(sentinel=True), entry()
    for task in ("facts", "choices"):
        assert ends(task, model=plain, base=gaps) == {"study": False, "same": True}
        assert ends(task, model=gaps, base=plain) == {"study": True, "same": False}
    assert ends("sentences", model=gaps, base=gaps) == {"study": False, "same": False}
    context = Context("study", 0, "Finish: {} ", ends_in_gap=True)
    assert context.wrap("Ada was born in") == "Finish: Ada was born in <extra_id_0>"


def test_a_chat_template_that_prints_the_date_prints_one_fixed_day():
    """A run that goes on tomorrow asks what it asked today."""
    dated = "{{ strftime_now('%d %b %Y') }} " + CHAT
    (_, _, first), *_ = texts("tuned", "facts", chat=dated)
    assert first.startswith("26 Jul 2024 <user>")
