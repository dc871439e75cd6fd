"""Where our own server listens, and who else holds its port."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address

from reaper_ops.core.facts.model import Holder


def address_of(holder: Holder) -> str:
    return f"[{holder.address}]:{holder.port}" if ":" in holder.address else f"{holder.address}:{holder.port}"


def elsewhere(holders: Sequence[Holder] | None, bind: str, port: int) -> list[str]:
    """Where our own server listens although that is not desired; its runners listen on loopback, on ports of theirs."""
    return [address_of(row) for row in holders or () if row.ours and not _meant(row, bind, port)]


def _meant(row: Holder, bind: str, port: int) -> bool:
    desired, address = ip_address(bind), ip_address(row.address)
    if address.is_loopback:
        return row.port != port or desired.is_loopback
    return row.port == port and (address == desired or (desired.is_unspecified and address.is_unspecified))


def strangers(holders: Sequence[Holder] | None, bind: str, port: int) -> list[Holder]:
    """Sockets of others without which ours could be had."""
    return [row for row in holders or () if row.port == port and not row.ours and _overlaps(row, bind)]


def _overlaps(row: Holder, bind: str) -> bool:
    """A socket on `::` holds IPv4 too, unless it is for IPv6 alone; Go opens 0.0.0.0 for both families."""
    desired, address = ip_address(bind), ip_address(row.address)
    if desired.is_unspecified or address == desired:
        return True
    if not address.is_unspecified:
        return False
    return address.version == desired.version or (address.version == 6 and not row.ipv6_only)
