"""What is known of how bands were sampled: words understood, facts told and found, crops."""

import pickle

import pytest

from trifuse.core import BandSampling, MetadataError, Sampling, Window

NAMES = ("B2", "B11", "B9")
GSD = {"B2": 10.0, "B11": 20.0, "B9": 60.0}


@pytest.mark.parametrize("told", [GSD, {k: int(v) for k, v in GSD.items()}, list(GSD.values())])
def test_words_are_numbers_by_name_in_a_list_or_one_for_all(told):
    sampling = Sampling.told({"native_gsd": told, "noise": 0.002, "sensor": "S2A_MSI"}, NAMES)
    assert sampling.values("gsd") == (10, 20, 60)
    assert sampling.values("noise") == (0.002,) * 3
    assert sampling.values("origin") == ((0, 0),) * 3, "by default the image's own corner"
    assert sampling.values("mtf") == sampling.values("kernel") == (None,) * 3
    assert sampling.known and [b.sense("gsd") for b in sampling.bands] == ["told"] * 3
    assert sampling.bands[0].sense("mtf") == "unknown"


def test_where_nothing_is_told_nothing_is_known():
    sampling = Sampling.told({"sensor": "S2A_MSI"}, NAMES)
    assert sampling == Sampling.unknown(3) and not sampling.known
    assert sampling.cropped(Window(3, 4, 5, 5)) == sampling
    assert sampling.described({"a": 1}, NAMES) == {"a": 1}


@pytest.mark.parametrize(
    ("word", "value", "fact", "message"),
    [
        ("native_gsd", {"B2": 10.0}, "gsd", "native_gsd lacks band B11"),
        ("native_gsd", "fine", "gsd", "native_gsd is 'fine'"),
        ("native_gsd", [10, 20], "gsd", "native_gsd has 2 values for 3 bands"),
        ("noise", {"B2": [], "B11": 1, "B9": 2}, "noise", "noise is "),
        ("native_mtf", object, "mtf", "native_mtf is "),
        ("native_origin", "here", "origin", "native_origin is 'here'"),
        ("native_origin", 3, "origin", "native_origin is 3"),
    ],
)
def test_what_makes_no_sense_hurts_only_those_who_need_it(word, value, fact, message):
    sampling = Sampling.told({"native_gsd": GSD} | {word: value}, NAMES)
    with pytest.raises(MetadataError, match=f"^somewhere: {message}"):
        sampling.require_clear(fact, "somewhere")
    for other in {"gsd", "mtf", "noise", "origin"} - {fact}:
        sampling.require_clear(other, "somewhere")
    if isinstance(value, dict) and "B2" in value:
        sampling.select([0]).require_clear("gsd", "somewhere")  # bands that are told of


def test_facts_found_are_told_apart_and_kept_by_crops():
    band = BandSampling(gsd=20.0, origin=(0, 0)).with_found(mtf=0.27, kernel="nearest")
    assert [band.sense(f) for f in ("gsd", "mtf", "kernel", "noise")] == [
        "told",
        "found",
        "found",
        "unknown",
    ]
    moved = band.cropped(Window(5, 7, 9, 9)).cropped(Window(1, 2, 3, 3))
    assert moved.origin == (-6, -9) and moved.sense("mtf") == "found"
    assert pickle.loads(pickle.dumps(moved)) == moved and hash(moved) != hash(band)


def test_files_are_told_what_metadata_are_not():
    meta = {"native_gsd": GSD, "noise": 0.003, "upsampling": "nearest", "tile": "33UUU"}
    told = Sampling.told(meta, NAMES)
    assert told.described(meta, NAMES) is meta
    part = told.cropped(Window(4, 9, 10, 10)).select([2, 1])
    words = part.described(meta, ("B9", "B11"))
    assert words == {**meta, "native_origin": [-4, -9]}
    assert Sampling.told(words, ("B9", "B11")) == part
    found = Sampling(tuple(b.with_found(noise=0.001) for b in told.bands))
    again = Sampling.told(found.described(meta, NAMES), NAMES)
    assert again.values("noise") == (0.001,) * 3 and again.values("gsd") == told.values("gsd")


def test_later_words_count_and_the_others_stay():
    first = Sampling.told({"native_gsd": GSD, "noise": 0.003}, NAMES).cropped(Window(2, 0, 6, 6))
    later = first.retold({"noise": 0.001, "tile": "x"}, NAMES)
    assert later.values("noise") == (0.001,) * 3
    assert later.values("gsd") == first.values("gsd") and later.values("origin") == ((-2, 0),) * 3
    assert first.retold({"tile": "x"}, NAMES) is first
    fresh = Sampling.unknown(3).retold({"native_gsd": 20.0}, NAMES)
    assert fresh == Sampling.told({"native_gsd": 20.0}, NAMES)
