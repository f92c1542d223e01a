#!/bin/sh
# What ifupdown2 would make of /etc/network/interfaces.
ip link add vmbr0 type bridge
ip link set eth0 master vmbr0
ip link set eth0 up
ip link set vmbr0 up
ip addr add 10.77.0.10/24 dev vmbr0
ip route add default via 10.77.0.1
mkdir -p /run/network
ip link add proximity-lan type bridge
ip link set proximity-lan addrgenmode none
ip link set proximity-lan up
