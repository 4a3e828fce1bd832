from hypothesis import given
from hypothesis import strategies as st

from concord.data.sets import gather_sets, join_overlapping


def test_repeats_are_merged_and_sets_of_one_left_out():
    rows = [("1", "Hi."), ("2", "No."), ("1", "Hello."), ("1", "Hi."), ("2", "No.")]
    sets, counts = gather_sets(rows)
    assert [(found.id, found.sentences) for found in sets] == [("1", ("Hi.", "Hello."))]
    assert counts["rows"] == 5
    assert counts["sentences_repeated"] == 2
    assert counts["sets_of_one"] == 1


def test_sets_are_joined_over_a_chain_of_shared_sentences():
    # c-d hangs on b-c, which hangs on a-b; x-y stands alone
    rows = [("1", "a"), ("1", "b"), ("2", "x"), ("2", "y")]
    rows += [("3", "c"), ("3", "d"), ("4", "b"), ("4", "c")]
    sets, counts = gather_sets(rows)
    clusters = {found.id: found.cluster for found in sets}
    assert clusters == {"1": "1", "2": "2", "3": "1", "4": "1"}
    assert counts["clusters"] == 2
    assert counts["sentences_in_several_sets"] == 2


@given(
    st.dictionaries(
        st.sampled_from("ABCDEF"),
        st.sets(st.sampled_from("abcdefgh"), min_size=1, max_size=3).map(tuple),
    )
)
def test_two_sets_share_a_cluster_exactly_when_a_chain_links_them(sets):
    clusters = join_overlapping(sets)
    linked = {name: {name} for name in sets}
    for _ in sets:
        for name in sets:
            for other in list(linked[name]):
                linked[name] |= {k for k in sets if set(sets[k]) & set(sets[other])}
    for name in sets:
        for other in sets:
            assert (clusters[name] == clusters[other]) == (other in linked[name])
