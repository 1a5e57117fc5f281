#!/usr/bin/env bash
# Installs the servers that service tests start for themselves, those that are missing.
# Usage: .ci/services.sh [service ...]   services: java mariadb postgres redis
set -euo pipefail

have() { # Debian keeps servers where an ordinary user's PATH does not look
    PATH="$PATH:/usr/sbin:/sbin" type -P "$1" >/dev/null
}

as_root() {
    if [[ $EUID -eq 0 ]]; then "$@"; else sudo "$@"; fi
}

packages() { # no service left running: the tests start their own
    [[ -n "$(find /var/lib/apt/lists -name '*_Packages*' -print -quit 2>/dev/null)" ]] || as_root apt-get update -q
    as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
        apt-get -o DPkg::Lock::Timeout=300 install -y -q --no-install-recommends "$@"
}

java() { # Spark runs on it
    if [[ -x ${JAVA_HOME:-}/bin/java ]] || have java; then return; fi
    packages default-jre-headless
}

mariadb() {
    if have mariadbd && have mariadb-install-db; then return; fi
    packages mariadb-server
}

postgres() { # its programs are in a folder of their own version
    if have initdb || compgen -G "/usr/lib/postgresql/*/bin/initdb" >/dev/null; then return; fi
    packages postgresql
}

redis() {
    if have redis-server; then return; fi
    packages redis-server
}

# One installation at a time: apt refuses to look for new lists twice at once.
exec 9>"${TMPDIR:-/tmp}/btcfs-services.lock"
flock 9

for service in "${@:-java mariadb postgres redis}"; do
    for name in $service; do
        case $name in
            java | mariadb | postgres | redis) "$name" ;;
            *) echo "no service named '$name'; known: java mariadb postgres redis" >&2; exit 2 ;;
        esac
    done
done
