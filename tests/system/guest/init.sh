#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The first process of a guest: the kernel's modules, and then orders by the second serial line. An order is a line
# "NUMBER COMMAND"; its answer "= NUMBER STATUS LENGTH" and so many octets, what the command wrote.
/bin/busybox --install -s /usr/bin 2>/dev/null
export PATH=/usr/sbin:/usr/bin HOME=/root
mount -t devtmpfs none /dev
mount -t proc none /proc
mount -t sysfs none /sys
mount -t tmpfs none /run
while read -r module; do
    insmod "/modules/$module.ko" || echo "guest: $module is not loaded"
done </modules/order
ip link set lo up
stty -F /dev/ttyS1 raw -echo
exec 3<>/dev/ttyS1
echo '= 0 0 0' >&3
while read -r number order <&3; do
    sh -c "$order" >/run/said 2>&1 3>&- </dev/null
    echo "= $number $? $(wc -c </run/said)" >&3
    cat /run/said >&3
done
