#!/usr/bin/env bash
# Puts userauth on a Debian 12 or 13 machine as a systemd service, from the checkout it stands in; run
# again, it upgrades. Settings, secrets and data that are there stay as they are. A program that does
# not take the settings, or does not start, leaves the one before in its place.
#
#   deploy/install.sh                 install or upgrade, and start
#   deploy/install.sh --no-start      the same, and leave the services as they are
#   deploy/install.sh --uninstall     stop, and remove all but settings, secrets and data
#
# DESTDIR=/some/folder puts the files there, and touches neither users nor services. SYSTEMCTL is what
# stands for systemctl there.
set -euo pipefail

checkout=$(cd "$(dirname "$0")/.." && pwd)
root=${DESTDIR:-}
program=$root/opt/userauth
next=$program.next
before=$program.before
gone=$program.gone
settings=$root/etc/userauth
units=$root/etc/systemd/system
data=$root/var/lib/userauth
backups=$root/var/backups/userauth
manage=$root/usr/local/bin/userauth-manage
unit_names=(userauth.socket userauth.service userauth-backup.service userauth-backup.timer)

say() { printf 'userauth: %s\n' "$*"; }
fail() { printf 'userauth: %s\n' "$*" >&2; exit 1; }
on_machine() { [ -z "$root" ]; }
has_systemd() {
    if on_machine; then [ -d /run/systemd/system ]; else [ -n "${SYSTEMCTL:-}" ]; fi
}
systemctl() { command "${SYSTEMCTL:-systemctl}" "$@"; }
owned() { if on_machine; then chown "$1" "$2"; fi; }

main() {
    case ${1:-} in
        "")
            install_all
            start
            ;;
        --no-start)
            install_all
            forget_program_before
            close_credentials
            say "installed in $program, and not started"
            ;;
        --uninstall) uninstall ;;
        *) fail "usage: deploy/install.sh [--no-start | --uninstall]" ;;
    esac
}

install_all() {
    if on_machine && [ "$(id -u)" -ne 0 ]; then fail "run it as root"; fi
    umask 022
    install_python
    add_user
    install_settings
    make_next_program
    check_next_program
    take_next_program
    install_units
}

install_python() {
    if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
        on_machine || fail "python3-venv is missing"
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv
    fi
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "Python 3.11 or later is required"
}

add_user() {
    on_machine || return 0
    getent passwd userauth >/dev/null ||
        useradd --system --user-group --home-dir /var/lib/userauth --no-create-home \
            --shell /usr/sbin/nologin userauth
}

# The new program is made whole beside the old one, which serves on meanwhile.
make_next_program() {
    # An installation that was killed did not come to know whether its program starts.
    if [ -e "$before" ]; then
        rm -rf "$program"
        mv "$before" "$program"
    fi
    rm -rf "$next" "$gone"
    mkdir -p "$next"
    (cd "$checkout" && list_files | tar --create --null --files-from=- --owner=0 --group=0 --mode=u=rwX,go=rX) |
        tar --extract --directory "$next" --no-same-owner
    local made_of=$next/.made-of
    packages >"$made_of"
    if cmp -s "$made_of" "$program/.made-of" && "$program/.venv/bin/python" -c "" 2>/dev/null; then
        cp --archive --link "$program/.venv" "$next/.venv"
        return
    fi
    # It is moved later: only the scripts in its bin/ know where it was made, and none is used.
    python3 -m venv --copies "$next/.venv"
    local install=("$next/.venv/bin/python" -m pip install --quiet --disable-pip-version-check)
    "${install[@]}" --require-hashes --requirement "$next/requirements.lock"
    # Afterwards: hashes would be demanded of the operator's packages as well. Where they want
    # another version of ours, that is an error.
    if [ -e "$settings/requirements.txt" ]; then
        "${install[@]}" --constraint "$next/requirements.txt" --requirement "$settings/requirements.txt"
    fi
}

# What decides whether the old packages will do: those that are wanted, and this Python.
packages() {
    python3 -VV
    cat "$checkout/requirements.lock"
    if [ -e "$settings/requirements.txt" ]; then cat "$settings/requirements.txt"; fi
}

check_next_program() {
    local python=$next/.venv/bin/python
    "$python" -I "$next/deploy/as_the_service.py" "$python" "$next/server.py" --check >/dev/null && return
    rm -rf "$next"
    fail "the program is left as it was: mend what is said above, and install again"
}

take_next_program() {
    if [ -e "$program" ]; then mv "$program" "$before"; fi
    mv "$next" "$program"
}

list_files() {
    if git -c safe.directory="$checkout" -C "$checkout" rev-parse --git-dir >/dev/null 2>&1; then
        git -c safe.directory="$checkout" -C "$checkout" ls-files -z --cached
    else
        find . \( -name .git -o -name .venv -o -name var -o -name __pycache__ \) -prune -o -type f -print0
    fi
}

install_settings() {
    mkdir -p "$settings"
    (umask 077 && mkdir -p "$settings/credentials")
    exec {lock}<"$settings"
    flock --nonblock "$lock" || fail "another installation runs"
    chmod 0755 "$settings"
    if [ ! -e "$settings/environment" ]; then
        install -m 0640 "$checkout/deploy/environment" "$settings/environment"
        owned root:userauth "$settings/environment"
    fi
    new_secret DATABASE_URL embedded
    new_secret SECRET_KEYS "$(python3 -c 'import secrets; print(secrets.token_urlsafe(32))')"
    new_secret PASSWORD_PEPPER ""
}

# What is there already stays.
new_secret() {
    local file=$settings/credentials/$1
    [ -e "$file" ] || (umask 077 && printf '%s\n' "$2" >"$file")
}

# They are root's alone: systemd and userauth-manage hand them over. An earlier program, should it have
# come back, reads them as the user userauth.
close_credentials() {
    local file
    for file in "$settings/credentials" "$settings/credentials"/*; do
        owned root:root "$file"
        chmod go= "$file"
    done
}

# An earlier program, which comes back, may not have had it.
install_or_remove() {
    if [ -e "$2" ]; then install -m "$1" "$2" "$3"; else rm -f "$3"; fi
}

install_units() {
    local name
    mkdir -p "$units" "$(dirname "$manage")"
    for name in "${unit_names[@]}"; do
        install_or_remove 0644 "$program/deploy/$name" "$units/$name"
    done
    install_or_remove 0755 "$program/deploy/userauth-manage" "$manage"
    local folder
    for folder in "$data" "$backups"; do
        mkdir -p "$folder"
        chmod 0700 "$folder"
        owned userauth:userauth "$folder"
    done
}

start() {
    if ! has_systemd; then
        forget_program_before
        close_credentials
        say "installed in $program; systemd does not run here, so nothing was started"
        return
    fi
    if ! bring_up; then
        take_program_before
        fail "it does not start: journalctl -u userauth says why"
    fi
    forget_program_before
    close_credentials
    say "serves; settings are in $settings, see 'systemctl status userauth'"
}

# While the service restarts, who connects waits at the socket.
bring_up() {
    systemctl daemon-reload &&
        systemctl --quiet enable userauth.socket userauth.service userauth-backup.timer &&
        systemctl start userauth.socket userauth-backup.timer &&
        systemctl restart userauth.service
}

# In one step: what is left of a removal must not be taken for a whole program.
forget_program_before() {
    if [ -e "$before" ]; then mv "$before" "$gone"; fi
    rm -rf "$gone"
}

take_program_before() {
    [ -e "$before" ] || return 0
    rm -rf "$program"
    mv "$before" "$program"
    install_units
    if systemctl daemon-reload && systemctl restart userauth.service; then
        say "the program before is back, and serves"
    else
        say "the program before is back, and does not start either"
    fi >&2
}

uninstall() {
    local name
    if on_machine && [ "$(id -u)" -ne 0 ]; then fail "run it as root"; fi
    if has_systemd; then
        for name in "${unit_names[@]}"; do
            systemctl --quiet disable --now "$name" 2>/dev/null || true
        done
    fi
    for name in "${unit_names[@]}"; do rm -f "$units/$name"; done
    rm -rf "$program" "$next" "$before" "$gone"
    rm -f "$manage"
    if has_systemd; then systemctl daemon-reload; fi
    say "removed; $settings, $data, $backups and the user userauth are still there"
}

main "$@"
