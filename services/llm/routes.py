"""The ways to an answer: providers in their order, their credentials in turn, and the circuits on each way. No I/O."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from services.errors import InvalidRequest
from services.llm.breaker import Breaker
from services.llm.failures import CREDENTIAL_ONLY, Failure, Trip


class Board:
    """All circuits: one a provider, one for each of its credentials, one for each of its models."""

    def __init__(self) -> None:
        self._breakers: dict[tuple[str, str, object], Breaker] = {}
        self._turns: dict[str, int] = {}

    def provider(self, name: str) -> Breaker:
        return self._get(name, "provider", None)

    def credential(self, name: str, index: int) -> Breaker:
        return self._get(name, "credential", index)

    def model(self, name: str, model: str) -> Breaker:
        return self._get(name, "model", model)

    def rotation(self, name: str, keys: int) -> list[int]:
        """The indices of a provider's keys, beginning with the next whose turn it is."""
        first = self._turns[name] = (self._turns.get(name, -1) + 1) % max(keys, 1)
        return [(first + step) % keys for step in range(keys)]

    def circuits(self) -> dict[tuple[str, str, object], Breaker]:
        """Every circuit there has been a use for, by provider, scope, and which credential or model."""
        return dict(self._breakers)

    def circuit(self, name: str, scope: str, which: object) -> Breaker:
        return self._get(name, scope, which)

    def _get(self, name: str, scope: str, which: object) -> Breaker:
        key = (name, scope, which)
        if key not in self._breakers:
            self._breakers[key] = Breaker()
        return self._breakers[key]


@dataclass(frozen=True, slots=True)
class Route:
    """One provider as a place in the order, with the model this turn asks it for."""

    name: str
    model: str
    keys: int = 1
    window: int | None = None


@dataclass(slots=True)
class Candidate:
    """A route with the credential it uses, and the leases of the circuits it passed."""

    route: Route
    key: int
    leases: dict[str, tuple[Breaker, int]] = field(default_factory=dict)

    def committed(self) -> None:
        for breaker, lease in self.leases.values():
            breaker.committed(lease)

    def succeeded(self) -> None:
        for breaker, lease in self.leases.values():
            breaker.succeeded(lease)

    def failed(self, now: float, failure: Failure) -> None:
        """Only the circuit that the failure is about takes it; the others just end their lease."""
        scope = "credential" if failure.kind in CREDENTIAL_ONLY else "model" if failure.policy.trip is Trip.MODEL else "provider"
        for name, (breaker, lease) in self.leases.items():
            if name == scope:
                breaker.failed(now, lease, failure)
            else:
                breaker.release(lease)

    def released(self) -> None:
        for breaker, lease in self.leases.values():
            breaker.release(lease)


def order(routes: Sequence[Route], offered: Mapping[str, Sequence[str]], provider: str | None, model: str | None,
          embedded: str | None) -> list[Route]:
    """The routes with a person's choice of provider or model first. InvalidRequest where the choice does not exist."""
    if provider is None and model is not None:
        provider = next((name for name, models in offered.items() if model in models), None)
        if provider is None:
            raise InvalidRequest("This model is not offered.", field="model")
    if provider is None:
        return list(routes)
    if provider == embedded:
        return []
    chosen = next((route for route in routes if route.name == provider), None)
    if chosen is None:
        raise InvalidRequest("This provider is not available.", field="provider")
    if model is not None and model not in offered[provider]:
        raise InvalidRequest("This provider does not offer that model.", field="model")
    return [replace(chosen, model=model or chosen.model), *(route for route in routes if route is not chosen)]
