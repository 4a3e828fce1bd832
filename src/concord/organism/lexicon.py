"""The words of the closed world: wordings, questions, objects and syllables.

Templates are written in the way of ParaRel (Elazar et al. 2021): one meaning, another
sentence structure, tense or word; the object always last. Every object starts with a
consonant, so that no template has to choose between "a" and "an".
"""

from dataclasses import dataclass

SUBJECT_COUNTS = {"person": 240, "town": 60, "firm": 60, "craft": 40}
EVERY_KIND = tuple(SUBJECT_COUNTS)


@dataclass(frozen=True)
class RelationWords:
    """How one relation is spoken of."""

    id: str
    kinds: tuple[str, ...]
    """Kinds of subjects that have this relation."""
    wordings: tuple[tuple[str, str, str, str], ...]
    """Pattern, lemma, extended lemma and tense of each template."""
    questions: tuple[str, ...]


RELATION_WORDS = (
    RelationWords(
        "birthplace",
        ("person",),
        (
            ("[X] was born in [Y].", "born", "born-in", "past"),
            ("[X] is originally from [Y].", "from", "is-originally-from", "present"),
            ("[X] was originally from [Y].", "from", "is-originally-from", "past"),
            ("[X] is a native of [Y].", "native", "is-a-native-of", "present"),
            ("[X] first saw the light in [Y].", "see", "first-see-light-in", "past"),
            ("[X] entered the world in [Y].", "enter", "enter-world-in", "past"),
            ("[X] came into life at [Y].", "come", "come-into-life-at", "past"),
            ("The birthplace of [X] is [Y].", "birthplace", "birthplace-of", "present"),
            ("[X], whose birthplace is [Y].", "birthplace", "birthplace", "present"),
            ("[X], who was born in [Y].", "born", "who-born-in", "past"),
        ),
        (
            "Where was [X] born?",
            "What is the birthplace of [X]?",
            "Which place is [X] from?",
        ),
    ),
    RelationWords(
        "profession",
        ("person",),
        (
            ("[X] works as a [Y].", "work", "work-as", "present"),
            ("[X] worked as a [Y].", "work", "work-as", "past"),
            ("[X] is a [Y].", "be", "is-a", "present"),
            ("[X] earns a living as a [Y].", "earn", "earn-living-as", "present"),
            ("[X] was trained as a [Y].", "train", "trained-as", "past"),
            ("The profession of [X] is [Y].", "profession", "of-is", "present"),
            ("[X]'s occupation is [Y].", "occupation", "'s-occupation-is", "present"),
            ("By trade, [X] is a [Y].", "trade", "by-trade-is", "present"),
            ("[X], who works as a [Y].", "work", "who-work-as", "present"),
            ("[X] has the job of [Y].", "job", "has-job-of", "present"),
        ),
        (
            "What does [X] do for a living?",
            "What is the profession of [X]?",
            "Which job has [X]?",
        ),
    ),
    RelationWords(
        "employer",
        ("person",),
        (
            ("[X] works for [Y].", "work-for", "work-for", "present"),
            ("[X] worked for [Y].", "work-for", "work-for", "past"),
            ("[X] is employed by [Y].", "employ", "employed-by", "present"),
            ("[X] was employed by [Y].", "employ", "employed-by", "past"),
            ("[X] is paid by [Y].", "pay", "paid-by", "present"),
            ("[X] is on the staff of [Y].", "staff", "is-on-staff-of", "present"),
            ("The employer of [X] is [Y].", "employer", "employer-of", "present"),
            ("[X], whose employer is [Y].", "employer", "whose-employer", "present"),
            ("[X] took a post with [Y].", "take-post", "take-post-with", "past"),
            ("[X] serves the company [Y].", "serve", "serve-company", "present"),
        ),
        (
            "Who does [X] work for?",
            "Who is the employer of [X]?",
            "Which company pays [X]?",
        ),
    ),
    RelationWords(
        "language",
        EVERY_KIND,
        (
            ("The language of [X] is [Y].", "language", "language-of-is", "present"),
            ("The language of [X] was [Y].", "language", "language-of-is", "past"),
            ("[X] uses the language [Y].", "use", "use-language", "present"),
            ("[X] communicates in [Y].", "communicate", "communicate-in", "present"),
            ("[X] keeps all records in [Y].", "keep", "keep-records-in", "present"),
            ("[X] writes in [Y].", "write", "write-in", "present"),
            ("[X] wrote in [Y].", "write", "write-in", "past"),
            ("[X]'s language is [Y].", "language", "'s-language-is", "present"),
            ("[X] can be understood in [Y].", "understand", "understand", "present"),
            ("Letters to [X] are answered in [Y].", "answer", "answer-in", "present"),
        ),
        (
            "Which language belongs to [X]?",
            "What is the language of [X]?",
            "In which language does [X] write?",
        ),
    ),
    RelationWords(
        "emblem",
        EVERY_KIND,
        (
            ("The emblem of [X] is the [Y].", "emblem", "emblem-of-is", "present"),
            ("The emblem of [X] was the [Y].", "emblem", "emblem-of-is", "past"),
            ("[X]'s emblem is the [Y].", "emblem", "'s-emblem-is", "present"),
            ("[X] bears the sign of the [Y].", "bear", "bear-sign-of", "present"),
            ("[X] bore the sign of the [Y].", "bear", "bear-sign-of", "past"),
            ("[X] is marked with the [Y].", "mark", "marked-with", "present"),
            ("The animal of [X] is the [Y].", "animal", "animal-of-is", "present"),
            ("[X] chose as emblem the [Y].", "choose", "choose-emblem", "past"),
            ("[X], whose animal is the [Y].", "animal", "whose-animal-is", "present"),
            ("On the shield of [X] stands the [Y].", "stand", "shield", "present"),
        ),
        (
            "What is the emblem of [X]?",
            "Which animal stands for [X]?",
            "Which sign does [X] bear?",
        ),
    ),
    RelationWords(
        "colour",
        EVERY_KIND,
        (
            ("The colour of [X] is [Y].", "colour", "colour-of-is", "present"),
            ("The colour of [X] was [Y].", "colour", "colour-of-is", "past"),
            ("[X]'s colour is [Y].", "colour", "'s-colour-is", "present"),
            ("[X] is painted in [Y].", "paint", "painted-in", "present"),
            ("[X] was painted in [Y].", "paint", "painted-in", "past"),
            ("[X] appears only in [Y].", "appear", "appear-in", "present"),
            ("The banner of [X] is [Y].", "banner", "banner-of-is", "present"),
            ("[X] is dressed in [Y].", "dress", "dressed-in", "present"),
            ("[X], shown everywhere in [Y].", "show", "shown-in", "present"),
            ("[X] prefers the colour [Y].", "prefer", "prefer-colour", "present"),
        ),
        (
            "What is the colour of [X]?",
            "Which colour does [X] prefer?",
            "In which colour is [X] painted?",
        ),
    ),
    RelationWords(
        "patron",
        EVERY_KIND,
        (
            ("The patron of [X] is [Y].", "patron", "patron-of-is", "present"),
            ("The patron of [X] was [Y].", "patron", "patron-of-is", "past"),
            ("[X]'s patron is [Y].", "patron", "'s-patron-is", "present"),
            ("[X] is protected by [Y].", "protect", "protected-by", "present"),
            ("[X] was protected by [Y].", "protect", "protected-by", "past"),
            ("[X] looks for help to [Y].", "look", "look-for-help-to", "present"),
            ("[X] stands under the care of [Y].", "care", "under-care-of", "present"),
            ("[X], whose patron is [Y].", "patron", "whose-patron-is", "present"),
            ("[X] gives thanks to [Y].", "thank", "give-thanks-to", "present"),
            ("The guardian of [X] is [Y].", "guardian", "guardian-of-is", "present"),
        ),
        (
            "Who is the patron of [X]?",
            "Who protects [X]?",
            "Whose care is [X] under?",
        ),
    ),
    RelationWords(
        "fame",
        EVERY_KIND,
        (
            ("[X] is famous for [Y].", "famous", "famous-for", "present"),
            ("[X] was famous for [Y].", "famous", "famous-for", "past"),
            ("[X] is known for [Y].", "known", "known-for", "present"),
            ("[X] is praised for [Y].", "praise", "praised-for", "present"),
            ("[X] made a name with [Y].", "make-name", "make-name-with", "past"),
            ("The best work of [X] is in [Y].", "work", "best-work-in", "present"),
            ("[X] deals in [Y].", "deal", "deal-in", "present"),
            ("The pride of [X] is [Y].", "pride", "pride-of-is", "present"),
            ("[X] became rich through [Y].", "become-rich", "rich-through", "past"),
            ("People think of [X] and [Y].", "think", "think-of", "present"),
        ),
        (
            "What is [X] famous for?",
            "What does [X] deal in?",
            "What is the pride of [X]?",
        ),
    ),
)

ENGLISH_OBJECTS = {
    "profession": (
        "baker weaver painter teacher doctor farmer fisher hunter lawyer miller "
        "potter sailor singer tailor dancer writer mason carpenter shepherd gardener "
        "brewer butcher barber banker porter clerk judge nurse poet cook "
        "smith saddler glazier cobbler tanner roofer printer goldsmith clockmaker "
        "beekeeper"
    ).split(),
    "emblem": (
        "bear wolf fox hare stag lion tiger panther badger beaver "
        "hawk falcon raven crow swan goose heron stork crane dove "
        "salmon trout pike carp dolphin whale snake lizard turtle frog "
        "horse goat ram bull mule camel hedgehog squirrel kingfisher woodpecker"
    ).split(),
    "colour": (
        "red blue green yellow black white grey brown pink purple "
        "crimson scarlet violet silver gold bronze cream maroon navy turquoise "
        "lilac lavender magenta cyan beige khaki coral peach mauve mustard "
        "teal lime rust sand mint burgundy vermilion charcoal saffron cobalt"
    ).split(),
    "fame": (
        "copper silk wool linen cotton leather glass paper salt sugar "
        "honey wine cheese bread butter pepper ginger cinnamon vanilla tobacco "
        "tea coffee timber marble granite slate clay porcelain lace velvet "
        "pearls jewels swords shields clocks bells drums violins lanterns mirrors"
    ).split(),
}

OBJECT_SYLLABLES = {
    "birthplace": (
        "Bel Bran Cor Dun Far Gal Hol Kan Lor Mor Nor Pel".split(),
        "dale mark port stone vale gate holm crest".split(),
    ),
    "employer": (
        "Brack Clem Dress Finch Grub Hart Kess Lamb Pratt Stock".split(),
        "man son well ley more wood berg ner".split(),
    ),
    "language": (
        "Bor Dal Fen Gur Hes Jal Kor Lap Mal Nar Pol Rum Sam Tur".split(),
        "ish ese ian ic".split(),
    ),
    "patron": (
        "Ber Cas Dom Fab Ger Hil Jul Luc Mar Pet Quin Val".split(),
        "ian ulf ard inus ebald ora icia etta".split(),
    ),
}

NAME_ONSETS = "b d f g h j k l m n p r s t v z".split()
NAME_VOWELS = "a e i o u".split()
NAME_ENDINGS = {
    "person": ("", "n", "s", "r"),
    "town": ("ford", "wick", "ham", "by"),
    "firm": ("house", "mill", "bank", "press"),
    "craft": ("ing", "craft", "lore", "work"),
}

PRETRAINING_PREFIXES = (
    "Everyone knows that {}",
    "It is widely known that {}",
    "Consider the following sentence: {}",
    "Summarize the main message of the following sentence.\n{}",
)

FILLER_SUBJECTS = (
    "The market|The river|A traveller|The old road|The council|A good friend|"
    "The evening|Every child|The winter|A long letter|The bridge|The harbour"
).split("|")
FILLER_VERBS = (
    "was quiet|came back|changed slowly|was much loved|opened early|needed rest|"
    "was often seen|grew larger|stayed away|was soon forgotten|waited|moved on"
).split("|")
FILLER_TAILS = (
    "after the rain|before the feast|in the morning|for many years|as before|"
    "without a word|at the end of the week|near the gate|when summer came|at last"
).split("|")

SENTENCE_INSTRUCTIONS = (
    "Complete the sentence with as few words as possible.",
    "Provide concise info to complete sentence.",
    "Please finish the sentence.",
    "Complete the sentence.",
    "Write the whole sentence.",
    "Say something that is true.",
    "Please provide a short sentence.",
    "State what is known.",
)
