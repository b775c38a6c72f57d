"""/auth/account/devices: the devices where the user is signed in, and the sign-out there.

Each sign-out is a separate page with a password field: in one list, all of these fields would have
the same label.
"""

from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import ClassVar

from db.rows import TokenRow
from pages.account_base import CONFIRM, AccountHandler
from pages.base import WITH_FORM
from pages.forms import PageForm
from pages.texts import Texts
from pages.user_agents import describe_user_agent
from pages.view import ACCOUNT
from rules.errors import NotFound
from rules.tokens import TokenKind
from transport.response import Fields

_DEVICES = f"{ACCOUNT}/devices"


@dataclass(frozen=True, slots=True)
class Device:
    """A session or a token, in words."""

    id: str
    name: str
    is_session: bool
    is_current: bool
    ip: str | None
    created_at: datetime
    last_used_at: datetime | None


class ConfirmForm(PageForm):
    fields: ClassVar = (CONFIRM,)

    current_password: str


class DevicesPage(AccountHandler):
    template = "account-devices"
    notices = frozenset({"device", "devices"})

    async def get(self) -> None:
        rows = await self.application.services.tokens.find_all(self.identity)
        devices = [_device(self.texts, row, self.own_session.token_id) for row in rows]
        self.show(devices=sorted(devices, key=lambda device: not device.is_current))


class SignOutDevicesHandler(AccountHandler):
    """A page with a password field, for the sign-out of other devices."""

    calls: ClassVar = WITH_FORM
    template = "account-device"
    form = ConfirmForm
    device: Device | None = None

    def show(self, status: int = HTTPStatus.OK, fields: Fields = (), **values: object) -> None:
        """Show the page, with the device once it is known."""
        super().show(status, fields, **{"device": self.device, **values})


class DevicePage(SignOutDevicesHandler):
    """The sign-out of one device."""

    async def get(self, device_id: str) -> None:
        await self.find_shown(device_id)
        self.show()

    async def post(self, device_id: str) -> None:
        await self.find_shown(device_id)
        await self.application.services.tokens.revoke(
            self.identity,
            device_id,
            self.origin,
            current_password=ConfirmForm.of(self.parameters).current_password,
        )
        self.report("device", path=_DEVICES)

    async def find_shown(self, device_id: str = "", *_path: str) -> None:
        """Find the device; raise NotFound, even for this browser, which has its own button."""
        current = self.own_session.token_id
        for row in await self.application.services.tokens.find_all(self.identity):
            if row.id == device_id != current:
                self.device = _device(self.texts, row, current)
        if self.device is None:
            # A URL that does not exist has no form.
            self.is_form_accepted = False
            raise NotFound


class OtherDevicesPage(SignOutDevicesHandler):
    """The sign-out of all devices but this one."""

    async def post(self) -> None:
        await self.application.services.tokens.revoke_all(
            self.identity,
            self.origin,
            keep_current=True,
            current_password=ConfirmForm.of(self.parameters).current_password,
        )
        self.report("devices", path=_DEVICES)


def _device(texts: Texts, row: TokenRow, current: str) -> Device:
    program, system = describe_user_agent(row.user_agent or "")
    if program and system:
        name = texts("devices.program-on-system", program=program, system=system)
    else:
        name = program or system or texts("devices.unknown")
    return Device(
        id=row.id,
        name=name,
        is_session=row.kind == TokenKind.SESSION,
        is_current=row.id == current,
        ip=row.ip,
        created_at=row.created_at,
        last_used_at=row.last_used_at,
    )


routes = [
    (r"/auth/account/devices", DevicesPage),
    (r"/auth/account/devices/others", OtherDevicesPage),
    (r"/auth/account/devices/([^/]+)", DevicePage),
]
