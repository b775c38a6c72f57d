#!/bin/sh
# Install etcd, as root, unless a version without a known defect is installed: sh install-etcd.sh
#
# Before 3.4.31 and 3.5.13, a leader of etcd that was paused revokes the valid leases of its
# successors when it continues (etcd-io/etcd#15247): the primary of Postgres then loses its lock.
# Debian 12 has 3.4.23. There the package of Debian 13 is installed, and no other package of it.
set -eu

# Whether version $1 has no such defect.
is_fixed() {
    case $1 in
        '' | '(none)') return 1 ;;
        3.4.*) oldest=3.4.31 ;;
        *) oldest=3.5.13 ;;
    esac
    printf '%s\n' "$oldest" "$1" | sort -V -C
}

installed() {
    etcd --version 2>/dev/null | sed -n 's/^etcd Version: //p'
}

candidate() {
    LC_ALL=C apt-cache policy etcd-server | sed -n 's/^ *Candidate: //p'
}

codename() {
    (. /etc/os-release && echo "$ID-${VERSION_CODENAME:-}")
}

add_debian_13() {
    keys=/usr/share/keyrings/debian-archive-keyring.gpg
    cat >/etc/apt/sources.list.d/userauth-etcd.list <<END
deb [signed-by=$keys] http://deb.debian.org/debian trixie main
deb [signed-by=$keys] http://deb.debian.org/debian-security trixie-security main
END
    # Below the 500 of Debian 12, and above 0, so that a later upgrade to Debian 13 is possible.
    cat >/etc/apt/preferences.d/userauth-etcd <<END
Package: *
Pin: release n=trixie*
Pin-Priority: 100

Package: etcd-server
Pin: release n=trixie*
Pin-Priority: 990
END
    apt-get -qq update
}

if is_fixed "$(installed)"; then
    exit 0
fi
apt-get -qq update
if ! is_fixed "$(candidate)" && [ "$(codename)" = debian-bookworm ]; then
    add_debian_13
fi
if ! is_fixed "$(candidate)"; then
    echo "The packages have etcd $(candidate): install 3.5.13 or later, as etcd.io describes." >&2
    exit 1
fi
DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends etcd-server
if ! is_fixed "$(installed)"; then
    echo "etcd $(installed) is too old, and comes first in PATH: $(command -v etcd)" >&2
    exit 1
fi
