"""Types of single values: what is taken, what is refused, and that no input gives a traceback."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from reaper_ops.core import values
from reaper_ops.core.inventory import settings

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.parametrize(
    ("text", "count"),
    [("8G", 8 << 30), ("512MiB", 512 << 20), ("1.5g", 3 << 29), (1 << 30, 1 << 30), ("2 TB", 2 << 40)],
)
def test_sizes(text, count):
    assert values.size(text) == count


@pytest.mark.parametrize("text", ["", "8X", "-8G", -1, 0, 8, "8", True, None, [], "8 G G", "nan"])
def test_no_sizes(text):
    with pytest.raises(ValueError, match=r"is not a size|means"):
        values.size(text)


@pytest.mark.parametrize("text", ["10m", "1h30m", "-1", -1, "0", 300, "1.5h", ".5s", "+5m", "100ms"])
def test_durations(text):
    assert values.duration(text) == str(text)


@pytest.mark.parametrize("text", ["5 minutes", "m", "", "1d", True, "10m ", "10m\n", "1h-5m", None])
def test_no_durations(text):
    with pytest.raises(ValueError, match="is not a duration"):
        values.duration(text)


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("llama3", "llama3:latest"),
        ("deepseek-r1:32b", "deepseek-r1:32b"),
        ("me/mine", "me/mine:latest"),
        ("registry.example.org:5000/team/model:v1", "registry.example.org:5000/team/model:v1"),
        ("@guide", "@guide"),
    ],
)
def test_model_names(name, full):
    assert values.model_name(name) == full


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "llama 3",
        "a/b/c/d",
        ":8b",
        "llama3:",
        "http://x/y/z",
        "gpt-oss:120b-cloud",
        "x:cloud",
        "host:5000/model",
    ],
)
def test_no_model_names(name):
    with pytest.raises(ValueError, match=r"model|scheme"):
        values.model_name(name)


@pytest.mark.parametrize(
    "name",
    ["GPU-4f2a8d1c-5b6e-7f80-9a1b-2c3d4e5f6071", "MIG-4f2a8d1c-5b6e-7f80-9a1b-2c3d4e5f6071", "GPU-deadbeefdeadbeef", 0],
)
def test_gpu_ids(name):
    assert values.gpu_id(name) == str(name)


@pytest.mark.parametrize(("count", "text"), [(8 << 30, "8G"), (3 << 29, "1536M"), (1000, "1000"), (0, "0")])
def test_a_size_is_shown_as_one_writes_it(count, text):
    assert values.binary_size(count) == text


@given(st.integers(min_value=1 << 20, max_value=1 << 50))
def test_a_shown_size_reads_back(count):
    assert values.size(values.binary_size(count)) == count


@given(st.sampled_from(settings.names()), ANYTHING)
def test_no_value_of_a_setting_gives_a_traceback(name, value):
    wanted, errors = settings.parse("h", {name: value})
    assert (wanted is None) == bool(errors)
    for error in errors:
        assert error.place.startswith("h/")
        assert "\n" not in str(error)


@given(st.dictionaries(st.text(min_size=1, max_size=20), ANYTHING, max_size=5))
def test_no_variables_give_a_traceback(variables):
    wanted, errors = settings.parse("h", {f"ollama_{name}": value for name, value in variables.items()})
    assert (wanted is None) == bool(errors)


def test_settings_are_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        settings.Settings().ollama_port = 1


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a,b", ["a", "b"]),
        ('["a", "b"]', ["a", "b"]),
        ("['a', 'b']", ["a", "b"]),
        ("[a,b]", ["a", "b"]),
        ("", []),
        ("[]", []),
        ("a,,b", ["a", "", "b"]),
        (["a"], ["a"]),
    ],
)
def test_lists_that_come_as_text(text, found):
    assert values.items(text) == found


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (999_949, "999.9 kB"), (999_999_999, "1.0 GB"), (10**16, "10000.0 TB")],
)
def test_a_size_for_people(count, text):
    assert values.human_bytes(count) == text
