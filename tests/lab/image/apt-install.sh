#!/bin/sh
# apt-install.sh PACKAGE...: installs packages without letting any maintainer script start a daemon.
set -e
made=
if [ ! -e /usr/sbin/policy-rc.d ]; then
  printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
  chmod +x /usr/sbin/policy-rc.d
  made=1
fi
trap '[ -n "$made" ] && rm -f /usr/sbin/policy-rc.d' EXIT
# confold: /etc/default/lxc-net was written before lxc is there, and dpkg would ask about it and fail without a terminal.
DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confold \
  install -y --no-install-recommends "$@" </dev/null
