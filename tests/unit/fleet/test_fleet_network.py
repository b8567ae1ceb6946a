# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Choosing subnets, and finding what other firewalls do to forwarded packets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from vya_fleet import kernel, network
from vya_fleet.errors import FleetError
from vya_fleet.state import BRIDGE_NAME, FleetRecord


def test_the_first_subnet_free_of_routes_and_fleets() -> None:
    assert network.choose_subnet([]) == "10.201.0.0/24"
    assert network.choose_subnet(["10.201.0.0/24", "10.201.1.128/25"]) == "10.201.2.0/24"


def test_a_route_over_a_whole_pool_leads_to_the_next_pool() -> None:
    assert network.choose_subnet(["10.0.0.0/8"]) == "172.29.0.0/24"


def test_no_subnet_left() -> None:
    with pytest.raises(FleetError, match="take some fleets down"):
        network.choose_subnet(["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"])


def test_routes_without_the_default_route_and_ipv6() -> None:
    routes = [
        {"dst": "default"},
        {"dst": "0.0.0.0/0"},
        {"dst": "10.1.2.3"},
        {"dst": "10.9.0.0/16"},
        {"dst": "fe80::/64"},
    ]
    assert network.routed_networks(json.dumps(routes)) == ["10.1.2.3/32", "10.9.0.0/16"]
    assert network.routed_networks("") == []


def test_addresses() -> None:
    assert network.gateway("10.201.7.0/24") == "10.201.7.1"
    assert network.host_address("10.201.7.0/24", 0) == "10.201.7.2"
    assert network.host_address("10.201.7.0/24", 250) == "10.201.7.252"
    with pytest.raises(FleetError, match="251"):
        network.host_address("10.201.7.0/24", 251)


def test_only_chains_that_drop_forwarded_packets_need_an_exception() -> None:
    chains = [
        {"family": "ip", "table": "filter", "name": "FORWARD", "hook": "forward", "policy": "drop"},
        {"family": "ip", "table": "filter", "name": "INPUT", "hook": "input", "policy": "drop"},
        {"family": "inet", "table": "fw", "name": "forward", "hook": "forward", "policy": "accept"},
        {"family": "ip6", "table": "filter", "name": "FORWARD", "hook": "forward", "policy": "drop"},
        {"family": "ip", "table": "filter", "name": "DOCKER"},
    ]
    listing = json.dumps({"nftables": [{"metainfo": {}}, *({"chain": chain} for chain in chains)]})
    assert network.dropping_chains(listing) == ["ip filter FORWARD"]


def test_rules_are_found_again_by_their_comment() -> None:
    rule = {"family": "ip", "table": "filter", "chain": "FORWARD", "handle": 7}
    listing = json.dumps({"nftables": [{"rule": {**rule, "comment": "mine"}}, {"rule": {**rule, "handle": 8}}]})
    assert network.commented_rules(listing, "mine") == [("ip filter FORWARD", "7")]


def test_settings_are_raised_and_put_back(tmp_path: Path) -> None:
    low, high = tmp_path / "low", tmp_path / "high"
    low.write_text("0\n", encoding="ascii")
    high.write_text("4096\n", encoding="ascii")
    saved = tmp_path / "saved"
    saved.mkdir()
    for _ in range(2):  # the second fleet must not note the raised value as the original
        kernel.raise_settings({low: 1, high: 1024}, saved)
    assert (low.read_text(encoding="ascii"), high.read_text(encoding="ascii")) == ("1", "4096\n")
    kernel.restore_settings({low: 1, high: 1024}, saved)
    assert low.read_text(encoding="ascii") == "0"
    assert not list(saved.iterdir())


def test_interface_names_fit_and_differ_between_state_directories() -> None:
    one = FleetRecord("a-rather-long-name-of-a-fleet", "10.201.0.0/24", 1, "1", state="/a")
    other = FleetRecord("a-rather-long-name-of-a-fleet", "10.201.0.0/24", 1, "1", state="/b")
    assert one.bridge != other.bridge
    assert len(one.bridge) <= 15
    assert BRIDGE_NAME.fullmatch(one.bridge)
