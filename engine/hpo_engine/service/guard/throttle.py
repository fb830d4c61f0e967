"""How often an address may fail to log in."""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict, deque
from collections.abc import Callable

_MOST, _WITHIN_S = 10, 60.0
_ADDRESSES = 10_000  # remembered at most: those that failed longest ago are forgotten first


class Throttle:
    """Failures within the last minute, by address; of IPv6 the network (/64), as one machine has all of it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    def wait_s(self, address: str) -> float:
        """How long this address may not try; 0: it may."""
        failures = self._failures.get(_source(address))
        if failures is None or len(failures) < _MOST:
            return 0.0
        return max(0.0, failures[0] + _WITHIN_S - self._clock())

    def failed(self, address: str) -> None:
        source = _source(address)
        self._failures.setdefault(source, deque(maxlen=_MOST)).append(self._clock())
        self._failures.move_to_end(source)
        while len(self._failures) > _ADDRESSES:
            self._failures.popitem(last=False)


def _source(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
