"""How often a password may be tried. Guessing stays slow, and cannot lock out the owner.

A browser that has signed in before carries a device cookie and is counted by itself, whatever others do to the account
(OWASP, "device cookies"). Everybody else is counted by account and address together, by account, and by address.
"""

import hashlib

from services.errors import RateLimited
from services.limits import network_of
from services.rates import Rates, Window

HOUR, DAY = 3600, 86_400
DEVICE = (Window("sign-in-device", 5, 15), Window("sign-in-device-hour", 60, HOUR))
PAIR = (Window("sign-in-pair", 5, 15), Window("sign-in-pair-hour", 120, HOUR))
ACCOUNT = (Window("sign-in-account", 20, 60), Window("sign-in-account-day", 1000, DAY))
ADDRESS = (Window("sign-in-address", 20, 60), Window("sign-in-address-hour", 300, HOUR))
REGISTRATIONS = (Window("registrations", 5, HOUR),)


class Throttle:
    def __init__(self, rates: Rates) -> None:
        self._rates = rates

    def try_password(self, name: str, address: str, device: str | None) -> None:
        """Count a try, before it is known whether it is right. `device` only where its cookie is this account's."""
        if device is not None:
            self._hit(DEVICE, device)
        else:
            network = network_of(address)
            self._hit(PAIR, _key(name, network))
            self._hit(ACCOUNT, _key(name))
            self._hit(ADDRESS, network)

    def succeeded(self, name: str, address: str, device: str | None) -> None:
        """It was right: the tries before it were the owner's slips."""
        windows, key = (DEVICE, device) if device is not None else (PAIR, _key(name, network_of(address)))
        for window in windows:
            self._rates.forget(window, key)

    def register(self, address: str) -> None:
        """Count a new account of an address."""
        self._hit(REGISTRATIONS, network_of(address))

    def _hit(self, windows: tuple[Window, ...], key: str) -> None:
        for window in windows:
            standing = self._rates.hit(window, key)
            if standing is not None:
                wait = max(1, round(standing.reset_s + 0.5))
                raise RateLimited(f"Too many tries; the next one is possible in {wait} seconds.", retry_after=wait,
                                  limit=window.name, allowed=window.amount, retryAfter=wait)


def _key(*parts: str) -> str:
    """Names are typed by strangers and may be passwords in the wrong field; what is counted is kept without them."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
