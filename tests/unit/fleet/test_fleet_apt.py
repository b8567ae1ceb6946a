# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading the machine's package sources and deriving those of a host."""

from __future__ import annotations

from pathlib import Path

from vya_fleet import apt

DEB822 = """\
# the main archive
Types: deb deb-src
URIs: http://mirror.test/debian/
Suites: bookworm bookworm-updates
Components: main
 contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: https://mirror.test/debian-security
Suites: bookworm-security
Components: main

Types: deb
URIs: http://off.test/debian
Suites: bookworm
Components: main
Enabled: no

Types: deb-src
URIs: http://source.test/debian
Suites: bookworm
Components: main
"""


def test_deb822_skips_comments_disabled_stanzas_and_sources() -> None:
    found = apt.parse_deb822(DEB822)
    assert [source.uri for source in found] == ["http://mirror.test/debian/", "https://mirror.test/debian-security"]
    assert found[0].suites == ("bookworm", "bookworm-updates")
    assert found[0].components == ("main", "contrib")
    assert found[0].options == {"signed-by": "/usr/share/keyrings/debian-archive-keyring.gpg"}


def test_one_line_format() -> None:
    text = """
    # deb http://no.test/debian bookworm main
    deb-src http://no.test/debian bookworm main
    deb [ arch=amd64 Signed-By=/k.gpg trusted=yes ] http://a.test/debian trixie main contrib # why
    deb http://b.test/flat ./
    """
    flagged, flat = apt.parse_one_line(text)
    assert flagged.options == {"arch": "amd64", "signed-by": "/k.gpg", "trusted": "yes"}
    assert (flagged.uri, flagged.suites, flagged.components) == (
        "http://a.test/debian",
        ("trixie",),
        ("main", "contrib"),
    )
    assert flat.components == ()


def test_both_formats_are_read_from_a_directory(tmp_path: Path) -> None:
    (tmp_path / "sources.list").write_text("deb http://one.test/debian sid main\n", encoding="utf-8")
    parts = tmp_path / "sources.list.d"
    parts.mkdir()
    (parts / "x.sources").write_text(DEB822, encoding="utf-8")
    (parts / "y.list.disabled").write_text("deb http://two.test/debian sid main\n", encoding="utf-8")
    uris = [source.uri for source in apt.machine_sources(tmp_path)]
    assert uris == ["http://one.test/debian", "http://mirror.test/debian/", "https://mirror.test/debian-security"]


def test_other_suites_come_from_the_same_mirrors() -> None:
    key = "[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]"
    assert apt.lines_for("trixie", apt.parse_deb822(DEB822)) == [
        f"deb {key} http://mirror.test/debian trixie main",
        f"deb {key} http://mirror.test/debian trixie-updates main",
        f"deb {key} https://mirror.test/debian-security trixie-security main",
    ]


def test_sid_has_neither_updates_nor_security() -> None:
    assert len(apt.lines_for("sid", apt.parse_deb822(DEB822))) == 1


def test_a_vendors_repository_is_not_taken_for_debian() -> None:
    text = """
    deb [signed-by=/etc/apt/keyrings/vendor.gpg] https://vendor.test/10.11/debian bookworm main
    deb https://docker.test/linux/debian bookworm stable
    deb http://debian.test/debian bookworm main
    """
    (line,) = apt.lines_for("bookworm", apt.parse_one_line(text))
    assert "http://debian.test/debian bookworm main" in line


def test_a_private_mirror_keeps_its_key_and_options() -> None:
    source = "deb [signed-by=/etc/apt/keyrings/mine.gpg check-valid-until=no] http://m.test/debian bookworm main"
    (line,) = apt.lines_for("trixie", apt.parse_one_line(source))
    assert line == "deb [signed-by=/etc/apt/keyrings/mine.gpg check-valid-until=no] http://m.test/debian trixie main"
    assert apt.keyrings([line, line]) == {"/etc/apt/keyrings/mine.gpg"}


def test_cloud_images_list_their_mirrors_in_a_file(tmp_path: Path) -> None:
    listed = tmp_path / "debian.list"
    listed.write_text("http://first.test/debian\nhttp://second.test/debian\n", encoding="utf-8")
    (line,) = apt.lines_for("sid", apt.parse_one_line(f"deb mirror+file:{listed} bookworm main"))
    assert "http://first.test/debian sid main" in line


def test_ubuntu_falls_back_to_debians_public_mirror() -> None:
    lines = apt.lines_for("bookworm", apt.parse_one_line("deb http://ubuntu.test/ubuntu noble main"))
    assert [line.split()[2:] for line in lines] == [
        [apt.PUBLIC_MIRROR, "bookworm", "main"],
        [apt.PUBLIC_SECURITY, "bookworm-security", "main"],
    ]


def test_a_given_mirror_wins() -> None:
    (line,) = apt.lines_for("trixie", apt.parse_deb822(DEB822), "http://given.test/debian/")
    assert "http://given.test/debian trixie main" in line
