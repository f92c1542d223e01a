# Package lists of the lab. The template cache is keyed by this file and the scripts beside it.

# On the machine itself.
HOST_PACKAGES="lxc uidmap iproute2 iptables dnsmasq-base openssh-client sshpass openssl btrfs-progs e2fsprogs zstd socat
  busybox-static util-linux procps"

# What every Debian tree needs to boot systemd without its package manager.
BASE_PACKAGES="base-files base-passwd bash coreutils dash debianutils diffutils findutils grep gzip hostname
  init-system-helpers libc-bin login passwd mount ncurses-base ncurses-bin sed sysvinit-utils tar util-linux bsdutils mawk
  libpam-runtime libpam-modules libpam-systemd tzdata systemd-sysv systemd dbus iproute2 iputils-ping netbase curl
  ca-certificates procps"

# The node: what a Proxmox host has of this.
NODE_PACKAGES="$BASE_PACKAGES ifupdown2 busybox-static acl attr kmod openssh-server openssh-client sudo cron lxc uidmap iptables zstd lzop rsync less
  btrfs-progs strace bsdextrautils psmisc"

DEBIAN_PACKAGES="$BASE_PACKAGES ifupdown isc-dhcp-client python3-minimal apt dpkg"
# What an appliance of Debian has when its packages are installed: the names are those that the program installs.
DEBIAN_APPLIANCE_PACKAGES="$BASE_PACKAGES ifupdown isc-dhcp-client dnsmasq caddy iptables iptables-persistent busybox"
ALPINE_PACKAGES="busybox-static dash openrc"
APPLIANCE_PACKAGES="busybox-static dash openrc dnsmasq-base caddy iptables iproute2 ca-certificates conntrack"

# Dependencies that nothing in the lab runs.
DROPPED='^(debconf|perl-base|perl|perl-modules.*|libperl.*|gcc-12-base|libnss3.*|libnspr4|libsqlite3-0|insserv)$'
