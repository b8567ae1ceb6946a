# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""The network of a fleet: a bridge, a subnet nobody else uses, and masquerading into the world."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable

from .errors import FleetError
from .processes import must, quiet
from .state import BRIDGE_NAME, FleetRecord, all_fleets

POOLS = ("10.201.0.0/16", "172.29.0.0/16", "192.168.0.0/16")


def choose_subnet(taken: Iterable[str]) -> str:
    """The first /24 of the private pools that overlaps none of the given networks.

    Raises:
        FleetError: All are taken.
    """
    used = [ipaddress.IPv4Network(net, strict=False) for net in taken]
    for pool in POOLS:
        for candidate in ipaddress.IPv4Network(pool).subnets(new_prefix=24):
            if not any(candidate.overlaps(net) for net in used):
                return str(candidate)
    raise FleetError("Every private subnet of the fleet's pools has a route on this machine; take some fleets down.")


def routed_networks(routes: str) -> list[str]:
    """The IPv4 networks in the output of ``ip -json route show table all``, without default routes."""
    found = []
    for route in json.loads(routes or "[]"):
        try:
            net = ipaddress.IPv4Network(route["dst"], strict=False)
        except ValueError:
            continue  # "default", or IPv6
        if net.prefixlen:
            found.append(str(net))
    return found


def free_subnet() -> str:
    """A subnet that neither this machine's routes nor another fleet uses; to be called under the lock."""
    routes = must("ip", "-json", "-4", "route", "show", "table", "all")
    return choose_subnet([*routed_networks(routes), *(fleet.subnet for fleet in all_fleets())])


def gateway(subnet: str) -> str:
    """The machine's own address in a fleet's subnet."""
    return str(ipaddress.IPv4Network(subnet)[1])


def host_address(subnet: str, index: int) -> str:
    """The address of the host with an index, counted from 0.

    Raises:
        FleetError: The subnet has no room for so many.
    """
    if index > 250:
        raise FleetError("A fleet has room for 251 hosts.")
    return str(ipaddress.IPv4Network(subnet)[index + 2])


def uplink_mtu() -> int:
    """The largest packet the machine's way out takes; larger ones from the hosts would get lost silently."""
    routes = json.loads(must("ip", "-json", "-4", "route", "show", "default") or "[]")
    if not routes:
        return 1500
    return int(json.loads(must("ip", "-json", "link", "show", "dev", routes[0]["dev"]))[0]["mtu"])


def create(fleet: FleetRecord) -> None:
    """Make the fleet's bridge and its masquerading; to be called under the lock."""
    must("ip", "link", "add", fleet.bridge, "mtu", str(uplink_mtu()), "type", "bridge")
    must("ip", "address", "add", f"{gateway(fleet.subnet)}/24", "dev", fleet.bridge)
    must("ip", "link", "set", fleet.bridge, "up")
    rules = f"""
        table ip {fleet.table} {{
            chain postrouting {{
                type nat hook postrouting priority srcnat;
                ip saddr {fleet.subnet} oifname != "{fleet.bridge}" masquerade
            }}
        }}
    """
    for chain in dropping_chains(must("nft", "-j", "list", "chains")):
        # An accept of the fleet's own table would not save packets from another table's drop.
        for match in (f'iifname "{fleet.bridge}"', f'oifname "{fleet.bridge}" ct state established,related'):
            rules += f'insert rule {chain} {match} accept comment "{fleet.table}"\n'
    must("nft", "-f", "-", text=rules)


def remove(fleet: FleetRecord) -> None:
    """Remove what was made for a fleet, as far as it exists; to be called under the lock."""
    quiet("ip", "link", "delete", fleet.bridge)
    quiet("nft", "delete", "table", "ip", fleet.table)
    for chain, handle in commented_rules(must("nft", "-j", "-a", "list", "ruleset"), fleet.table):
        quiet("nft", "delete", "rule", *chain.split(), "handle", handle)


def any_bridge() -> bool:
    """Whether any fleet of this machine has a network, whichever state directory it belongs to."""
    links = json.loads(must("ip", "-json", "link", "show", "type", "bridge") or "[]")
    return any(BRIDGE_NAME.fullmatch(link["ifname"]) for link in links if link)


def dropping_chains(listing: str) -> list[str]:
    """The chains that drop forwarded packets by default (Docker and ufw make such), from ``nft -j list chains``."""
    chains = [item["chain"] for item in json.loads(listing)["nftables"] if "chain" in item]
    return [
        f"{chain['family']} {chain['table']} {chain['name']}"
        for chain in chains
        if chain.get("hook") == "forward" and chain.get("policy") == "drop" and chain["family"] in {"ip", "inet"}
    ]


def commented_rules(listing: str, comment: str) -> list[tuple[str, str]]:
    """The chain and the handle of each rule that bears a comment, from ``nft -j -a list ruleset``."""
    rules = [item["rule"] for item in json.loads(listing)["nftables"] if "rule" in item]
    return [
        (f"{rule['family']} {rule['table']} {rule['chain']}", str(rule["handle"]))
        for rule in rules
        if rule.get("comment") == comment
    ]
