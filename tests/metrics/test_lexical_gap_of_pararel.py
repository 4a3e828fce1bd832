"""The confound named in numbers: how far last words alone tell ParaRel's sets apart."""

from pathlib import Path

import numpy as np
import pytest
from gap_definitions import lexical_gap

from concord.data.pararel import read_pararel


def test_last_words_alone_give_the_known_lexical_gap(shared: Path):
    data = read_pararel(shared / "data" / "pararel", article_rule=False)
    sets, words = [], []
    facts = ((relation, fact) for relation in data.relations for fact in relation.facts)
    for place, (relation, fact) in enumerate(facts):
        for _, prompt in relation.prompts_of(fact):
            sets.append(place)
            words.append(prompt.split()[-1])
    terms = lexical_gap(np.array(words), np.array(sets))
    assert len(words) == 134_218
    assert np.nanmean(terms.cos_para) == pytest.approx(0.6632, abs=5e-5)
    assert np.nanmean(terms.cos_nonpara) == pytest.approx(0.1702, abs=5e-5)
    assert terms.gap == pytest.approx(0.4929, abs=5e-5)
