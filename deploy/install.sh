#!/usr/bin/env bash
# Installs userauth from this checkout as a systemd service on Debian 12 or 13, or upgrades it.
# Existing settings, secrets and data are kept. If the new version rejects the settings or does not
# start, the old version is restored.
#
#   deploy/install.sh                 install or upgrade, and start
#   deploy/install.sh --no-start      install or upgrade; leave the services as they are
#   deploy/install.sh --processes 2   install or upgrade, and start two server processes, on ports 8001
#                                     and 8002; later runs keep the number
#   deploy/install.sh --uninstall     stop; remove everything except settings, secrets and data
#
# DESTDIR=/some/directory installs the files there and changes neither users nor services. SYSTEMCTL
# names a program to run there in place of systemctl.
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
unit_names=(
    userauth.socket userauth.service userauth@.socket userauth@.service
    userauth-backup.service userauth-backup.timer
)
variable=USERAUTH_SERVER__PROCESSES
assignment="^[[:space:]]*$variable[[:space:]]*="

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
            remove_old_program
            close_credentials
            say "installed in $program, not started"
            ;;
        --processes)
            [[ ${2:-} =~ ^[1-9][0-9]?$ ]] || fail "--processes: must be a number from 1 to 64"
            install_all "$2"
            start
            ;;
        --uninstall) uninstall ;;
        *) fail "usage: deploy/install.sh [--no-start | --processes NUMBER | --uninstall]" ;;
    esac
}

install_all() {
    local wanted=${1:-}
    if on_machine && [ "$(id -u)" -ne 0 ]; then fail "must be run as root"; fi
    umask 022
    install_python
    add_user
    install_settings
    prepare_next_program
    check_next_program "$wanted"
    switch_programs "$wanted"
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

# Prepare the new version next to the old one, which keeps running.
prepare_next_program() {
    # An earlier installation was killed before it could check that its version starts.
    if [ -e "$before" ]; then reinstate_old_program; fi
    rm -rf "$next" "$gone"
    mkdir -p "$next"
    (cd "$checkout" && list_files | tar --create --null --files-from=- --owner=0 --group=0 --mode=u=rwX,go=rX) |
        tar --extract --directory "$next" --no-same-owner
    local inputs=$next/.made-of
    packages >"$inputs"
    if cmp -s "$inputs" "$program/.made-of" && "$program/.venv/bin/python" -c "" 2>/dev/null; then
        cp --archive --link "$program/.venv" "$next/.venv"
        return
    fi
    # The environment is moved later. Only the scripts in its bin/, which are not used, contain its
    # path.
    python3 -m venv --copies "$next/.venv"
    local install=("$next/.venv/bin/python" -m pip install --quiet --disable-pip-version-check)
    "${install[@]}" --require-hashes --requirement "$next/requirements.lock"
    # A separate step, because --require-hashes would apply to the operator's packages too. The
    # constraint makes it an error if they require another version of one of ours.
    if [ -e "$settings/requirements.txt" ]; then
        "${install[@]}" --constraint "$next/requirements.txt" --requirement "$settings/requirements.txt"
    fi
}

# The old environment is reused only if this output is the same.
packages() {
    python3 -VV
    cat "$checkout/requirements.lock"
    if [ -e "$settings/requirements.txt" ]; then cat "$settings/requirements.txt"; fi
}

# With the number of processes that was requested, which is not in the environment yet.
check_next_program() {
    local python=$next/.venv/bin/python
    local command=("$python" "$next/server.py" --check)
    if [ -n "$1" ]; then command=(env "$variable=$1" "${command[@]}"); fi
    "$python" -I "$next/deploy/as_the_service.py" "${command[@]}" >/dev/null && return
    rm -rf "$next"
    fail "not upgraded; the old version is still in place. Fix the error above and run install.sh again."
}

switch_programs() {
    if [ -e "$program" ]; then mv "$program" "$before"; fi
    if [ -n "$1" ] && [ "$(processes)" -ne "$1" ]; then set_processes "$1"; fi
    mv "$next" "$program"
}

list_files() {
    if git -c safe.directory="$checkout" -C "$checkout" rev-parse --git-dir >/dev/null 2>&1; then
        git -c safe.directory="$checkout" -C "$checkout" ls-files -z --cached
    else
        find . \( -name .git -o -name .venv -o -name var -o -name __pycache__ \) -prune -o \( -type f -o -type l \) -print0
    fi
}

install_settings() {
    mkdir -p "$settings"
    (umask 077 && mkdir -p "$settings/credentials")
    exec {lock}<"$settings"
    flock --nonblock "$lock" || fail "another installation is running"
    chmod 0755 "$settings"
    if [ ! -e "$settings/environment" ]; then
        install -m 0640 "$checkout/deploy/environment" "$settings/environment"
        owned root:userauth "$settings/environment"
    fi
    new_secret DATABASE_URL embedded
    new_secret USERAUTH_DATABASE__DIRECT_URL ""
    new_secret SECRET_KEYS "$(python3 -c 'import secrets; print(secrets.token_urlsafe(32))')"
    new_secret PASSWORD_PEPPER ""
    new_secret USERAUTH_MAIL__URL ""
}

# The number of server processes is a setting, which each process reads. Until the new version has
# started, the directory of the old one keeps the new number and the old lines.
set_processes() {
    if [ -e "$before" ]; then
        { echo "$1"; sed --quiet "/$assignment/p" "$settings/environment"; } >"$before/.processes"
    fi
    replace_assignment "$variable=$1"
}

# Does nothing if the number has been changed since.
restore_processes() {
    local kept=$before/.processes
    [ -e "$kept" ] || return 0
    if [ "$(processes)" = "$(head --lines=1 "$kept")" ]; then
        replace_assignment "$(tail --lines=+2 "$kept")"
    fi
    rm "$kept"
}

# Replace the lines of the variable in one step, so that the environment is never incomplete.
replace_assignment() {
    local new=$settings/environment.new
    cp --preserve=mode,ownership "$settings/environment" "$new"
    # The second command completes a last line without a newline.
    sed --expression="/$assignment/d" --expression='$a\' "$settings/environment" >"$new"
    if [ -n "$1" ]; then printf '%s\n' "$1" >>"$new"; fi
    mv "$new" "$settings/environment"
}

processes() {
    local number
    number=$(sed --quiet "s/$assignment[^0-9]*\([0-9]*\).*/\1/p" "$settings/environment" | tail --lines=1)
    echo "${number:-1}"
}

# The services for these settings, without .service.
wanted_services() {
    local number
    number=$(processes)
    if [ "$number" -eq 1 ]; then echo userauth; else printf 'userauth@%02d\n' $(seq "$number"); fi
}

is_wanted() { [[ $'\n'$(wanted_services)$'\n' == *$'\n'$1$'\n'* ]]; }

# The services that an earlier run enabled.
other_services() {
    local link name
    for link in "$units"/multi-user.target.wants/userauth{,@[0-9]*}.service; do
        name=$(basename "$link" .service)
        if [ -L "$link" ] && ! is_wanted "$name"; then echo "$name"; fi
    done
}

# Keep an existing secret.
new_secret() {
    local file=$settings/credentials/$1
    [ -e "$file" ] || (umask 077 && printf '%s\n' "$2" >"$file")
}

# Only root may read the credentials; systemd and userauth-manage pass them on. This comes last, because
# an earlier version, if it is restored, reads them as the user userauth.
close_credentials() {
    local file
    for file in "$settings/credentials" "$settings/credentials"/*; do
        owned root:root "$file"
        chmod go= "$file"
    done
}

# An earlier version, if it is restored, may not have the file.
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
    local directory
    for directory in "$data" "$backups"; do
        mkdir -p "$directory"
        chmod 0700 "$directory"
        owned userauth:userauth "$directory"
    done
}

start() {
    if ! has_systemd; then
        remove_old_program
        close_credentials
        say "installed in $program, not started: systemd is not running"
        return
    fi
    if ! start_units; then
        restore_old_program
        fail "the new version does not start; see: journalctl -u 'userauth*'"
    fi
    remove_old_program
    close_credentials
    say "running; settings are in $settings. Status: systemctl status $(wanted_services | paste --serial --delimiters=' ')"
    local others
    others=$(other_services | sed 's/.*/&.socket &.service/' | paste --serial --delimiters=' ')
    [ -z "$others" ] || say "when your proxy no longer uses them, run: systemctl disable --now $others"
}

# While a service restarts, new connections wait at its socket.
start_units() {
    local services sockets
    services=$(wanted_services | sed 's/$/.service/')
    sockets=$(wanted_services | sed 's/$/.socket/')
    # Unquoted on purpose: each variable holds several unit names.
    systemctl daemon-reload &&
        systemctl --quiet enable $sockets $services userauth-backup.timer &&
        systemctl start $sockets userauth-backup.timer &&
        restart_services
}

# One at a time, so that the others serve requests meanwhile.
restart_services() {
    local name
    for name in $(wanted_services) $(other_services); do
        systemctl restart "$name.service" || return
    done
}

# Rename first: an interrupted removal must not leave an incomplete version under its name.
remove_old_program() {
    if [ -e "$before" ]; then mv "$before" "$gone"; fi
    rm -rf "$gone"
}

reinstate_old_program() {
    restore_processes
    rm -rf "$program"
    mv "$before" "$program"
}

restore_old_program() {
    [ -e "$before" ] || return 0
    local failed name
    failed=$(wanted_services)
    reinstate_old_program
    for name in $failed; do
        is_wanted "$name" || systemctl --quiet disable --now "$name.socket" "$name.service" || true
    done
    install_units
    if systemctl daemon-reload && restart_services; then
        say "the old version is running again"
    else
        say "the old version is restored but does not start either"
    fi >&2
}

# The sockets first: otherwise they would start their services again.
instances() {
    local link
    for link in "$units"/{sockets,multi-user}.target.wants/userauth@[0-9]*; do
        if [ -L "$link" ]; then basename "$link"; fi
    done
}

uninstall() {
    local name
    if on_machine && [ "$(id -u)" -ne 0 ]; then fail "must be run as root"; fi
    if has_systemd; then
        for name in "${unit_names[@]}" $(instances); do
            systemctl --quiet disable --now "$name" 2>/dev/null || true
        done
    fi
    for name in "${unit_names[@]}"; do rm -f "$units/$name"; done
    rm -rf "$program" "$next" "$before" "$gone"
    rm -f "$manage"
    if has_systemd; then systemctl daemon-reload; fi
    say "removed. $settings, $data, $backups and the user userauth are kept."
}

main "$@"
