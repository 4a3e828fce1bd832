import socket
from hashlib import sha256
from pathlib import Path

import pytest

from concord.data.download import Remote, checksum_of, download
from concord.errors import DataError

CONTENT = bytes(range(256)) * 2_000
CHECKSUM = sha256(CONTENT).hexdigest()


@pytest.fixture
def site(serve):
    return serve({"/file": CONTENT})


def fetch(site, target, *, checksum: str | None = CHECKSUM, path="/file", **options):
    remote = Remote(f"{site.address}{path}", checksum=checksum)
    return download(remote, target, pause_seconds=0, **options)


def test_a_file_arrives_whole_and_leaves_no_part_behind(site, tmp_path):
    target = tmp_path / "new" / "file"
    assert fetch(site, target) == CHECKSUM == checksum_of(target)
    assert list(target.parent.iterdir()) == [target]


def test_progress_ends_at_the_size_of_the_file(site, tmp_path):
    steps = []
    fetch(site, tmp_path / "file", progress=lambda *step: steps.append(step))
    assert steps[-1] == ("file", len(CONTENT), len(CONTENT))
    assert [done for _, done, _ in steps] == sorted(done for _, done, _ in steps)


def test_a_cut_connection_is_resumed_where_it_was_cut(site, tmp_path):
    site.cuts = [200_000, 100_000]
    steps = []
    fetch(site, tmp_path / "file", progress=lambda *step: steps.append(step[1:]))
    assert (tmp_path / "file").read_bytes() == CONTENT
    starts = [wanted for _, wanted in site.asked]
    assert starts == [None, "bytes=200000-", "bytes=300000-"]
    assert steps[-1] == (len(CONTENT), len(CONTENT))


def test_a_server_that_ignores_ranges_is_read_from_the_start(site, tmp_path):
    site.cuts, site.knows_ranges = [200_000], False
    fetch(site, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert len(site.asked) == 2


def test_what_an_earlier_process_left_is_used_when_the_checksum_is_known(
    site, tmp_path
):
    (tmp_path / "file.part").write_bytes(CONTENT[:1_000])
    fetch(site, tmp_path / "file")
    assert site.asked == [("/file", "bytes=1000-")]
    (tmp_path / "file").replace(tmp_path / "file.part")
    fetch(site, tmp_path / "file")
    assert len(site.asked) == 1
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_what_an_earlier_process_left_is_dropped_without_a_checksum(site, tmp_path):
    (tmp_path / "file.part").write_bytes(b"of another version")
    assert fetch(site, tmp_path / "file", checksum=None) == CHECKSUM
    assert site.asked == [("/file", None)]


def test_without_a_checksum_only_the_same_version_is_resumed(site, tmp_path):
    site.cuts, site.tag = [200_000], '"one"'
    assert fetch(site, tmp_path / "file", checksum=None) == CHECKSUM
    assert site.asked[1] == ("/file", "bytes=200000-")
    site.cuts, site.tag, site.asked = [200_000], None, []
    assert fetch(site, tmp_path / "other", checksum=None) == CHECKSUM
    assert site.asked[1] == ("/file", None)


def test_a_version_that_changes_between_two_attempts_is_not_mixed(site, tmp_path):
    site.cuts, site.tag = [200_000], '"one"'
    newer = CONTENT[::-1]

    def change(*_):
        site.files["/file"], site.tag = newer, '"two"'

    fetch(site, tmp_path / "file", checksum=None, progress=change)
    assert (tmp_path / "file").read_bytes() == newer


def test_a_part_longer_than_the_file_is_dropped(site, tmp_path):
    (tmp_path / "file.part").write_bytes(CONTENT + b"more")
    fetch(site, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_wrong_checksum_deletes_the_file_and_prints_both(site, tmp_path):
    with pytest.raises(DataError, match="wrong checksum") as refused:
        fetch(site, tmp_path / "file", checksum="0" * 64)
    assert "0" * 64 in str(refused.value)
    assert CHECKSUM in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_is_refused_at_once(site, tmp_path):
    with pytest.raises(DataError, match=r"/gone: the server answered 404.*--data-dir"):
        fetch(site, tmp_path / "file", path="/gone")
    assert len(site.asked) == 1


def test_a_server_that_is_busy_is_asked_again(site, tmp_path):
    site.failures = [503, 429]
    assert fetch(site, tmp_path / "file") == CHECKSUM
    assert len(site.asked) == 3


def test_attempts_are_bounded_and_what_came_is_kept(site, tmp_path):
    site.cuts = [10_000] * 3
    with pytest.raises(DataError, match="not fetched in 3 attempts"):
        fetch(site, tmp_path / "file", attempts=3)
    assert (tmp_path / "file.part").read_bytes() == CONTENT[:30_000]
    assert not (tmp_path / "file").exists()


def test_a_refused_connection_says_what_to_do(tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/file"
        with pytest.raises(DataError, match=r"2 attempts.*Check the connection"):
            download(Remote(url), tmp_path / "file", attempts=2, pause_seconds=0)


def test_an_address_of_no_known_kind_is_refused(tmp_path):
    with pytest.raises(DataError, match="no address to fetch from"):
        download(Remote("gopher://a/b"), tmp_path / "file", pause_seconds=0)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_named(site, tmp_path):
    (tmp_path / "file.part").symlink_to("/dev/full")
    with pytest.raises(DataError, match="no space left"):
        fetch(site, tmp_path / "file")


def test_a_place_that_cannot_be_written_is_named(site, tmp_path):
    (tmp_path / "taken").write_text("a file where a folder is needed")
    with pytest.raises(DataError, match="cannot be written"):
        fetch(site, tmp_path / "taken" / "file")
