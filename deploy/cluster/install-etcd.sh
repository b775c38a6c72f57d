#!/bin/sh
# Install etcd, as root, unless a version without a known defect is installed: sh install-etcd.sh
#
# Before 3.4.31 and 3.5.13, a leader of etcd that was paused revokes the valid leases of its
# successors when it continues (etcd-io/etcd#15247): the primary of Postgres then loses its lock.
# Debian 12 has 3.4.23. There the package of Debian 13 is installed, and no other package of it.
set -eu

suite=trixie
keys=/usr/share/keyrings/debian-archive-keyring.gpg

# Whether version $1 is $2 or later.
is_at_least() {
    printf '%s\n' "$2" "$1" | sort -V -C
}

is_usable() {
    version=$(etcd --version 2>/dev/null | sed -n 's/^etcd Version: //p')
    case $version in
        '') return 1 ;;
        3.4.*) oldest=3.4.31 ;;
        *) oldest=3.5.13 ;;
    esac
    is_at_least "$version" "$oldest"
}

if is_usable; then
    exit 0
fi
apt-get -qq update
candidate=$(LC_ALL=C apt-cache policy etcd-server | sed -n 's/^ *Candidate: //p')
if ! is_at_least "${candidate#(none)}" 3.5.13; then
    if [ ! -f "$keys" ]; then
        echo "No package of etcd 3.5.13 or later is available: install a release of etcd.io." >&2
        exit 1
    fi
    cat >"/etc/apt/sources.list.d/etcd-$suite.list" <<END
deb [signed-by=$keys] http://deb.debian.org/debian $suite main
deb [signed-by=$keys] http://deb.debian.org/debian-security $suite-security main
END
    cat >"/etc/apt/preferences.d/etcd-$suite" <<END
Package: *
Pin: release n=$suite*
Pin-Priority: -1

Package: etcd-server etcd-client
Pin: release n=$suite*
Pin-Priority: 990
END
    apt-get -qq update
fi
DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends \
    etcd-server etcd-client
is_usable || {
    echo "etcd $version is too old, or is found before /usr/bin/etcd in PATH." >&2
    exit 1
}
