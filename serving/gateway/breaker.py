"""A circuit breaker: who failed several times in a row is left alone for a moment, then tried with one request.

>>> breaker = Breaker()
>>> breaker.allows(now=0.0)
True

So a dead predictor costs a few requests their timeout, and not every request. The pattern is Nygard's (Release It!, 2007).
"""

LIMIT = 3  # failures in a row: one or two may be a restart
FIRST_WAIT = 1.0  # seconds, doubled by every trial that fails
LONGEST_WAIT = 5.0  # so that whoever comes back is noticed soon, and at most one request in five seconds is slow


class Breaker:
    """reason: of the last failure."""

    def __init__(self) -> None:
        self.failures, self.reason = 0, ""
        self.wait, self.until = FIRST_WAIT, 0.0

    @property
    def open(self) -> bool:
        return self.failures >= LIMIT

    def allows(self, now: float) -> bool:
        """Whether to ask now. While open, one trial a wait: its failure is told by `failed`, its success by `succeeded`."""
        if not self.open:
            return True
        if now < self.until:
            return False
        self.until = now + self.wait  # already here, so that a trial that never ends does not bar the next one
        return True

    def succeeded(self) -> None:
        if self.failures:
            self.failures, self.wait = 0, FIRST_WAIT

    def failed(self, reason: str, now: float) -> None:
        self.reason = reason
        if self.open:
            self.wait = min(2 * self.wait, LONGEST_WAIT)
        self.failures += 1
        self.until = now + self.wait
