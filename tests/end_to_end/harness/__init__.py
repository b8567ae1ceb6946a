# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""What the end-to-end tests share: the hosts, Ansible with the built collection, and the databases' own clients."""
