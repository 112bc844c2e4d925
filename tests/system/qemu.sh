#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The simulated card as a PCI device of a virtual machine: stock QEMU's vfio-user-pci (11.1 or later), a client that
# this project did not write, and a Linux guest that looks at the card with lspci and /dev/mem, resets it (FLR), runs
# the driver on it through the kernel's VFIO behind a virtual IOMMU (card_guest.c), and reboots. Not part of `make
# check`. QEMU, kernel and busybox are those of guest/get.sh, or what the variables name.
#
# usage: qemu.sh BUILD GUEST      variables: QEMU (a command), QEMU_KERNEL (a Linux bzImage), QEMU_MODULES (the
#                                 lib/modules/VERSION folder of that kernel), QEMU_BUSYBOX (a static busybox),
#                                 QEMU_WAIT (seconds, default 240, but for
#                                 those that QEMU waits for a processor)
set -euo pipefail
build=$1
guest=$2
read -ra qemu <<<"${QEMU:-$guest/qemu}"
kernel=${QEMU_KERNEL:-$guest/vmlinuz}
patience=${QEMU_WAIT:-240}

lack() {
    echo "check-qemu: missing: $1" >&2
    exit 3
}

command -v "${qemu[0]}" >/dev/null || lack "${qemu[0]} (QEMU 11.1 or later)"
devices=$("${qemu[@]}" -device help 2>&1) || lack "${qemu[*]} does not start"
[[ $devices == *vfio-user-pci* ]] || lack "${qemu[*]} has no vfio-user-pci (QEMU 11.1 has)"
command -v lspci >/dev/null || lack "lspci (Debian package pciutils)"

work=$(mktemp -d "${TMPDIR:-/tmp}/espalier-qemu.XXXXXX")
card_pid='' qemu_pid=''
finish() {
    [[ -z $qemu_pid ]] || kill "$qemu_pid" 2>/dev/null || true
    [[ -z $card_pid ]] || kill "$card_pid" 2>/dev/null || true
    wait
    rm -rf "$work"
}
trap finish EXIT

fail() {
    echo "check-qemu: FAILED: $1" >&2
    echo "---- guest" >&2
    tail -n 60 "$work/guest" >&2 || true
    echo "---- card" >&2
    cat "$work/card.log" >&2 || true
    exit 1
}

# ---- a guest in a file: busybox, lspci and the driver with their libraries, and an init that reports and obeys
make_initramfs() {
    mkdir "$work/files"
    ln -s "${QEMU_MODULES:-$(readlink -f "$guest/modules")}" "$work/files/modules"
    ln -s "${QEMU_BUSYBOX:-$(readlink -f "$guest/busybox")}" "$work/files/busybox"
    cat >"$work/init" <<'INIT'
#!/bin/sh
/bin/busybox --install -s /usr/bin 2>/dev/null
export PATH=/usr/bin:/usr/sbin
mount -t devtmpfs none /dev; mount -t proc none /proc; mount -t sysfs none /sys
device=; for d in /sys/bus/pci/devices/*; do
    [ "$(cat $d/vendor):$(cat $d/device)" = "$(tr ' ' '\n' </proc/cmdline | sed -n 's/^card=//p')" ] && device=$d
done
base=$(sed -n '1s/ .*//p' "$device/resource")
word() { devmem $((base + $1)) 32 $2; }
lspci -nvv -s "${device##*/}"
echo 1 >"$device/enable"
echo "guest: magic $(word 0)"
echo "guest: epoch at start $(word 0x2c)"
word 0x2c 0x5eed1234
echo "guest: epoch written $(word 0x2c)"
echo 1 >"$device/reset" && echo "guest: reset done"
echo "guest: magic after reset $(word 0)"
echo "guest: epoch after reset $(word 0x2c)"
word 0x2c 0x77
echo "guest: epoch before $(word 0x2c)"
while read -r m; do
    insmod "/modules/$m.ko"
done </modules/order
echo 0 >"$device/enable"
echo vfio-pci >"$device/driver_override"
echo "${device##*/}" >/sys/bus/pci/drivers_probe
card_guest && echo "guest: driver done"
echo "guest: waits"
read -r order
"$order" -f
INIT
    "${0%/*}/guest/image.sh" "$work/files" "$work/initramfs" "$work/init" --module vfio_iommu_type1 --module vfio_pci \
        --program lspci --program "$(readlink -f "$build/tests/card_guest")"
}

# Seconds that the thread of QEMU's that waited longest has waited for a processor: on a busy machine the most of what a
# guest takes, which says nothing of it.
starved() {
    { cat /proc/"$qemu_pid"/task/*/schedstat 2>/dev/null || true; } | awk '$2 > most { most = $2 } END { printf "%d\n", most / 1e9 }'
}

# await PATTERN COUNT: until the guest has printed so many lines that match
await() {
    local began=$SECONDS starved_before
    starved_before=$(starved)
    while ((SECONDS - began - $(starved) + starved_before < patience)); do
        [[ $(grep -c "$1" "$work/guest") -ge $2 ]] && return
        kill -0 "$qemu_pid" 2>/dev/null || fail "QEMU ended before the guest said \"$1\""
        sleep 0.2
    done
    fail "the guest did not say \"$1\" within $patience s"
}

says() {
    [[ $(tr -d '\r' <"$work/guest" | grep -c -- "$1") -ge ${2:-1} ]] || fail "the guest did not show \"$1\" (${2:-1} times)"
}

make_initramfs
"$build/bin/espalier-card" --dir "$work/card" >"$work/card.log" 2>&1 &
card_pid=$!
for ((i = 0; i < 300; i++)); do
    grep -q '^ready ' "$work/card.log" && break
    sleep 0.1
done
slot=$(sed -n 's/^ready //p' "$work/card.log")
[[ -n $slot ]] || fail "the card did not start"
id=$(cat "$slot/vendor"):$(cat "$slot/device")

mkfifo "$work/console"
exec 3<>"$work/console"

start_qemu() {
    : >"$work/guest"
    "${qemu[@]}" -M q35 -accel tcg -m 256 -nodefaults -display none -serial stdio \
        -object memory-backend-memfd,id=m,size=256M,share=on -machine memory-backend=m \
        -device intel-iommu,caching-mode=on \
        -device "{\"driver\":\"vfio-user-pci\",\"socket\":{\"path\":\"$slot/vfio-user.sock\",\"type\":\"unix\"},\"x-msg-timeout\":60000}" \
        -kernel "$kernel" -initrd "$work/initramfs" \
        -append "console=ttyS0 quiet no_timer_check iomem=relaxed intel_iommu=on card=$id" <"$work/console" >"$work/guest" 2>&1 &
    qemu_pid=$!
}

power_off() {
    local began=$SECONDS starved_before
    starved_before=$(starved)
    echo poweroff >&3
    while ((SECONDS - began - $(starved) + starved_before < patience)); do
        kill -0 "$qemu_pid" 2>/dev/null || break
        sleep 0.2
    done
    kill -0 "$qemu_pid" 2>/dev/null && fail "the guest did not power off"
    wait "$qemu_pid" || fail "QEMU ended with $?"
    qemu_pid=''
}

# show BOOTS: what every boot must have shown
show() {
    says 'guest: magic 0x4C505345' "$1"
    says 'guest: epoch at start 0x00000000' "$1"
    says 'guest: epoch written 0x5EED1234' "$1"
    says 'guest: reset done' "$1"
    says 'guest: magic after reset 0x4C505345' "$1"
    says 'guest: epoch after reset 0x00000000' "$1"
    says 'Region 0: Memory at .*64-bit.*size=64K' "$1"
    says 'FLReset+' "$1"
    says 'MSI-X: Enable. Count=' "$1"
    says 'Power Management' "$1"
    says 'card and software gave the same bytes' "$1"
    says 'packets came back' "$1"
    says 'interrupts came' "$1"
    says 'guest: driver done' "$1"
}

# the card has lost its client and answers
free_card() {
    for ((i = 0; i < 300; i++)); do
        "$build/bin/espalier-card" ctl --dir "$work/card" counters >"$work/counters" ||
            fail "the card does not answer any more"
        grep -q '"client": false' "$work/counters" && return
        sleep 0.1
    done
    fail "the card still has a client"
}

start_qemu
await 'guest: waits' 1
tr -d '\r' <"$work/guest" | grep -v '^\[' || true
echo reboot >&3
await 'guest: waits' 2
power_off
show 2
free_card
echo "check-qemu: passed: the guest saw the card, wrote EPOCH, reset it and rebooted"
grep -q '"raised": [1-9]' "$work/counters" || fail "the card raised no interrupt"
grep -q '"errors": 0' "$work/counters" || fail "the card met a DMA error"
echo "check-qemu: passed: the driver ran in the guest by VFIO, with IOMMU and MSI-X"

# QEMU dies while the guest uses the card; the next one finds the card as new
start_qemu
await 'guest: driver opened' 1
kill -KILL "$qemu_pid"
wait "$qemu_pid" 2>/dev/null || true
qemu_pid=''
free_card
start_qemu
await 'guest: waits' 1
power_off
show 1
free_card
echo "check-qemu: passed: QEMU was killed, and the next one found the card as new"
echo "3 passed"
