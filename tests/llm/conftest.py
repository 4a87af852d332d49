import pytest

from tests.llm.house import House


@pytest.fixture
def house():
    """Two providers; when the test is done, the same service still answers."""
    house = House()
    try:
        yield house
        house.is_well()
    finally:
        house.close()


@pytest.fixture
def build():
    """Make houses that are closed afterwards."""
    houses: list[House] = []

    def make(*args: object, **options: object) -> House:
        houses.append(House(*args, **options))
        return houses[-1]

    yield make
    for house in houses:
        house.close()
