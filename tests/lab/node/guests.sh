#!/bin/bash
# Runs on the node: appliance 9999 (dnsmasq, Caddy, iptables) and the two apps 101 and 102.
set -euo pipefail
TEMPLATES=local:vztmpl

create() { # vmid hostname template options...
  local vmid=$1 host=$2 template=$3; shift 3
  pct create "$vmid" "$TEMPLATES/$template" --hostname "$host" --storage local-lvm --unprivileged 1 --onboot 1 "$@" >"/run/create-$vmid.log" 2>&1 ||
    { cat "/run/create-$vmid.log" >&2; return 1; }
}
app_net=name=eth0,bridge=proximity-lan,ip=dhcp
create 9999 prox-appliance alpine-lab-appliance_amd64.tar.zst --memory 512 --startup order=1 \
  --net0 name=eth0,bridge=vmbr0,ip=dhcp --net1 name=eth1,bridge=proximity-lan,ip=10.20.0.1/24 &
appliance=$!
create 101 web alpine-lab-default_amd64.tar.zst --memory 256 --startup order=2 --rootfs local-lvm:1 --net0 $app_net &
web=$!
create 102 wiki alpine-lab-default_amd64.tar.zst --memory 256 --startup order=2 --rootfs local-lvm:1 --net0 $app_net &
wiki=$!

wait $appliance
pct start 9999

# One call with everything: each `pct exec` costs as much as the work it does.
pct exec 9999 -- sh -s <<'APPLIANCE'
set -e
mkdir -p /etc/caddy/apps /etc/iptables /etc/udhcpc /var/lib/misc /var/log/caddy
cat >/etc/dnsmasq.conf <<'X'
interface=eth1
bind-interfaces
except-interface=eth0
domain=prox.local
local=/prox.local/
expand-hosts
domain-needed
bogus-priv
dhcp-authoritative
dhcp-range=10.20.0.100,10.20.0.250,255.255.255.0,12h
dhcp-option=option:router,10.20.0.1
dhcp-option=option:dns-server,10.20.0.1
dhcp-leasefile=/var/lib/misc/dnsmasq.leases
log-dhcp
log-queries
log-facility=/var/log/dnsmasq.log
user=root
no-resolv
server=10.77.0.1
# It would ping for three seconds before it offers an address.
no-ping
X
cat >/etc/caddy/Caddyfile <<'X'
{
	admin 127.0.0.1:2019
	auto_https off
}
import apps/*.caddy
X
# The public port as the app speaks; the internal port for frames: no frame headers, no credentials.
app() {
  cat >/etc/caddy/apps/$1.caddy <<X
:3$2 {
	log {
		output file /var/log/caddy/access.log
		format json
	}
	reverse_proxy $1.prox.local:80
}
:4$2 {
	log {
		output file /var/log/caddy/access.log
		format json
	}
	reverse_proxy $1.prox.local:80 {
		header_down -X-Frame-Options
		header_down -Content-Security-Policy
		header_up -Authorization
	}
}
X
}
app web 0001
app wiki 0002
cat >/etc/iptables/rules-save <<'X'
*nat
:PREROUTING ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A POSTROUTING -s 10.20.0.0/24 -o eth0 -j MASQUERADE
COMMIT
*filter
:FORWARD DROP [0:0]
-A FORWARD -i eth1 -o eth0 -j ACCEPT
-A FORWARD -i eth0 -o eth1 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
COMMIT
X
echo 'net.ipv4.ip_forward=1' >/etc/sysctl.d/99-forward.conf
printf 'nameserver 127.0.0.1\nsearch prox.local\n' >/etc/resolv.conf
echo 'RESOLV_CONF="no"' >/etc/udhcpc/udhcpc.conf
APPLIANCE

# OpenRC is still in its boot runlevel right after the start: services are started when it has come to rest.
at_rest='n=0; while [ "$(rc-status -r)" != default ] && [ $n -lt 100 ]; do n=$((n + 1)); sleep 0.1; done'
pct exec 9999 -- sh -c "$at_rest"'
  for s in iptables dnsmasq caddy; do rc-update -q add $s default; done
  sysctl -q -p /etc/sysctl.d/99-forward.conf; rc-service -q iptables start; rc-service -q dnsmasq start; rc-service -q caddy start'

# Each app: a page and a CGI script that says what the app was asked.
cat >/run/app.sh <<'APP'
mkdir -p /srv/www/cgi-bin /etc/init.d
cat >/srv/www/cgi-bin/env <<'X'
#!/bin/sh
printf 'X-Frame-Options: DENY\r\nContent-Security-Policy: none\r\nX-App: 1\r\nContent-Type: text/plain\r\n\r\n'
hostname
env | grep -E '^(HTTP_|REMOTE)' | sort
X
chmod +x /srv/www/cgi-bin/env
echo "<h1>$(hostname)</h1>" >/srv/www/index.html
cat >/etc/init.d/web <<'X'
#!/sbin/openrc-run
description="The web server of this app"
command=/bin/busybox
command_args="httpd -f -p 80 -h /srv/www"
command_background=yes
pidfile=/run/web.pid
depend() { need net; }
X
chmod +x /etc/init.d/web
APP
app() {
  pct start "$1"
  pct exec "$1" -- sh -s <<APP
$(cat /run/app.sh)
$at_rest
rc-update -q add web default
rc-service -q web start
APP
}
wait $web; app 101
wait $wiki; app 102

leases() { pct exec 9999 -- sh -c 'cat /var/lib/misc/dnsmasq.leases 2>/dev/null | wc -l'; }
serves() { pct exec "$1" -- wget -q -O /dev/null http://127.0.0.1/; }
for _ in $(seq 150); do
  [ "$(leases)" -ge 2 ] && serves 101 && serves 102 && exit 0
  sleep 0.1
done
echo "the apps did not get their leases or do not answer" >&2
exit 1
