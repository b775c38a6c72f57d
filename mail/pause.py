"""The pause of the queue while the relay sends nothing, for example for wrong credentials."""

import logging
from collections.abc import Callable

from mail.errors import RelayFault
from ops.logs import SERVER
from rules.back_off import back_off_seconds

_STEPS = (5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0)


class Pause:
    """Whether the queue pauses, and when one message is sent to probe the relay.

    ``clock`` returns monotonic seconds. The beginning and the end are logged, not each probe.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._faults = 0
        self._began_at = 0.0
        self._probe_at = 0.0

    @property
    def is_on(self) -> bool:
        """Return whether the queue pauses."""
        return self._faults > 0

    def wait_seconds(self) -> float:
        """Return the time until the next probe, 0 if messages may be sent."""
        return max(0.0, self._probe_at - self._clock()) if self.is_on else 0.0

    def begin(self, fault: RelayFault) -> None:
        """Begin the pause, or extend it after a failed probe."""
        if self.wait_seconds() > 0:  # another message was being sent when the pause began
            return
        now = self._clock()
        if not self.is_on:
            self._began_at = now
            logging.getLogger(SERVER).warning(
                "the mail relay sends nothing, messages wait: %s", fault
            )
        self._faults += 1
        self._probe_at = now + back_off_seconds(_STEPS, self._faults)

    def end(self) -> None:
        """End the pause, if there is one, after the relay has sent or rejected a message."""
        if self.is_on:
            self._faults = 0
            seconds = round(self._clock() - self._began_at)
            logging.getLogger(SERVER).warning("the mail relay sends again, after %d s", seconds)
