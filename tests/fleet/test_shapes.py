"""Hosts as people have them: each folder of shapes/ from the first plan to the last `down`."""

from concurrent.futures import Future

from fleet.shape import names, read


def pytest_generate_tests(metafunc):  # type: ignore[no-untyped-def]
    config = metafunc.config
    wanted = config.getoption("--shape")
    whole = config.getoption("--shapes")
    metafunc.parametrize("shape", [n for n in names() if n in wanted or (not wanted and (whole or read(n).ci))])


def test_shape(shape: str, told: dict[str, Future[tuple[list[str], float]]]) -> None:
    problems, _seconds = told[shape].result()
    assert not problems, "\n".join(["", *problems])
