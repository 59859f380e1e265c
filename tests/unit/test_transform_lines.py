"""Every line is in exactly one range, complete and in order, for any ranges."""

from hypothesis import given
from hypothesis import strategies as st

from sluice.transform.lines import BOM, Lines, lines_of, ranges

contents = st.lists(st.sampled_from([b"a", b"bb", b"\xc3\xa9", b",", b"\n", b"\r\n", b"\n\n", b"\r"]), max_size=40).map(
    b"".join
)


def whole(content: bytes) -> list[bytes]:
    """The lines of a file that is read in one piece."""
    lines = content.removeprefix(BOM).split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    return [line.removesuffix(b"\r") for line in lines]


def read(content: bytes, start: int, end: int, more: int) -> Lines:
    """The range's lines; as long as more bytes are needed, `more` bytes are read beyond it."""
    at = max(0, start - 1)
    upto = end
    while True:
        found = lines_of(content[at:upto], start=start, end=end, at=at, size=len(content))
        if not found.needs_more:
            return found
        assert upto < len(content), "it asks for more than there is"
        upto += more


@given(content=contents, chunk=st.integers(1, 12), more=st.integers(1, 5), bom=st.booleans())
def test_any_ranges(content: bytes, chunk: int, more: int, *, bom: bool) -> None:
    content = BOM * bom + content
    found = [read(content, start, end, more) for start, end in ranges(len(content), chunk)]
    assert [line for lines in found for line in lines] == whole(content)


def test_a_line_over_several_ranges_is_in_the_one_that_it_begins_in() -> None:
    content = b"ab\n" + b"x" * 20 + b"\nc"
    found = [read(content, start, end, 1)[:] for start, end in ranges(len(content), 5)]
    assert found == [[b"ab", b"x" * 20], [], [], [], [b"c"]]


def test_reading_ends_with_the_last_line() -> None:
    found = lines_of(b"a\nb\n", start=0, end=4, at=0, size=100)
    assert (found[:], found.needs_more, [found.place(0), found.place(1)]) == ([b"a", b"b"], False, [0, 2])
    assert lines_of(b"a\nb", start=0, end=3, at=0, size=100).needs_more


@given(content=contents, chunk=st.integers(1, 30), most=st.integers(1, 4))
def test_many_lines_are_limited_and_the_rest_starts_where_they_end(content: bytes, chunk: int, most: int) -> None:
    found: list[bytes] = []
    for first, end in ranges(len(content), chunk):
        start, more = first, True
        while more:
            at = max(0, start - 1)
            lines = lines_of(content[at:], start=start, end=end, at=at, size=len(content), most=most)
            assert len(lines) <= most
            found += lines[:]
            more, start = lines.is_cut, lines.place(len(lines))
            assert not more or first < start < end
    assert found == whole(content)
