#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The stages of `make check`: quick ones first, side by side where nothing that they share is written, all of them even
# when one fails (but none that builds on a failed one). Says every 15 s what runs, for how long, and how long it took the
# last time here (or on two idle cores). Each stage's output is kept in build/log/STAGE.log.
# usage: check.sh MAKE [ARGUMENT]...
# exit status: 0 all passed, 1 one failed, 3 nothing failed but a right, device or program is missing (and named)
set -u
make=("$@")
build=${BUILD:-build}
logs=$build/log
times=$logs/seconds
cores=$(nproc)
((cores >= 2)) || cores=2
mkdir -p "$logs"
touch "$times"

cpu_all=0
names=() expected=() weights=() needs=() commands=() states=() pids=() begun=() took=()
stage() { # NAME SECONDS CORES "STAGES THAT COME BEFORE" COMMAND; `x?` comes before and may fail
    local last
    last=$(sed -n "s/^$1 //p" "$times" | tail -n 1)
    names+=("$1") expected+=("${last:-$2}") weights+=("$3") needs+=("$4") commands+=("$5") states+=(waiting) pids+=(0) begun+=(0) took+=(0)
}
m="${make[*]}"
stage registers 7 1 "" "$m check-regs"
stage style 6 1 "" "$m lint-format lint-shell"
stage build-c 65 2 "" "$m $build/bin/espalierd unit-tests"
# before what only computes: the system tests, which take longest and wait for it, run beside all that
stage build-rtl 60 2 "build-c" "$m programs rtl-tests system-tests"
# it waits more than it computes: the others have the cores meanwhile, and stand back (nice)
stage system 500 1 "build-rtl" "$m check-system"
stage unit 150 1 "build-c" "$m JOBS=1 check-unit"
stage world 140 1 "build-c" "nice $m check-world"
stage rtl 105 1 "build-rtl" "$m JOBS=1 check-rtl"
stage fuzz 125 1 "build-c" "nice $m -j1 JOBS=1 check-fuzz"
stage lint-verilog 300 1 "" "nice $m -j1 JOBS=1 lint-verilog"
# what is left of it at the end has both cores
stage lint-c 400 1 "build-c" "nice $m -j1 JOBS=2 lint-c"
stage rootless 15 1 "build-rtl system?" "$m check-rootless"
stage install 15 1 "build-rtl" "nice $m check-install"
stage demo 60 2 "build-rtl system? rootless?" "tests/as_root.sh $build/tests/demo"

index() {
    local i
    for i in "${!names[@]}"; do [ "${names[i]}" != "$1" ] || echo "$i"; done
}

clock() { printf '%d:%02d' $(($1 / 60)) $(($1 % 60)); }

# ready: everything before it has passed; blocked: something before it has not
readiness() {
    local n word="ready" state
    for n in ${needs[$1]}; do
        state=${states[$(index "${n%\?}")]}
        case $state in
        ok) ;;
        FAILED | skipped | blocked) [ "$n" != "${n%\?}" ] || word="blocked" ;;
        waiting | running) [ $word = blocked ] || word="wait" ;;
        esac
    done
    echo $word
}

start_stages() {
    local i used=0 running=0
    for i in "${!names[@]}"; do
        [ "${states[i]}" != running ] || { ((used += weights[i])) && ((running++)); }
    done
    for i in "${!names[@]}"; do
        [ "${states[i]}" = waiting ] || continue
        case $(readiness "$i") in
        blocked)
            states[i]=blocked
            printf '  %-8s %-12s what it builds on has failed\n' "not run" "${names[i]}"
            ;;
        ready)
            # one more than there are cores: a build's last steps and the daemons' tests leave one idle for long
            if ((running == 0 || used + weights[i] <= cores + 1)); then
                rm -f "$logs/.${names[i]}.rc"
                (
                    bash -c "${commands[i]}" >"$logs/${names[i]}.log" 2>&1 </dev/null
                    rc=$?
                    times >"$logs/.${names[i]}.cpu"
                    echo $rc >"$logs/.${names[i]}.rc"
                ) &
                pids[i]=$! begun[i]=$SECONDS states[i]=running
                ((used += weights[i], running++))
            fi
            ;;
        esac
    done
}

# What a stage's processes have computed, in seconds, of what `times` says of children: 1m2.345s 0m6.789s
computed() {
    awk 'NR == 2 { for (i = 1; i <= 2; i++) { split($i, t, "m"); sum += 60 * t[1] + t[2] } } END { printf "%.0f\n", sum }' "$1" 2>/dev/null || echo 0
}

finish() {
    local i=$1 rc cpu
    wait "${pids[i]}"
    rc=$(cat "$logs/.${names[i]}.rc" 2>/dev/null || echo 1)
    cpu=$(computed "$logs/.${names[i]}.cpu")
    ((cpu_all += cpu))
    rm -f "$logs/.${names[i]}.rc" "$logs/.${names[i]}.cpu"
    took[i]=$((SECONDS - begun[i]))
    case $rc in
    0)
        states[i]=ok
        sed -i "/^${names[i]} /d" "$times"
        echo "${names[i]} ${took[i]}" >>"$times"
        ;;
    *)
        # make turns every exit status into 2 and names the one that it saw
        if [ "$rc" = 3 ] || { [ "$rc" = 2 ] && grep -aqE 'Error 3$' "$logs/${names[i]}.log"; }; then
            states[i]=skipped
        else
            states[i]=FAILED
        fi
        ;;
    esac
    printf '  %-8s %-12s %s  (computed: %s)\n' "${states[i]}" "${names[i]}" "$(clock "${took[i]}")" "$(clock "$cpu")"
    if [ "${states[i]}" != ok ]; then
        echo "---- the last lines of $logs/${names[i]}.log"
        tail -n 60 "$logs/${names[i]}.log"
        echo "----"
    else
        grep -aE '^ +FAILED|^ *[Ss]kip(ped)?:|missing: ' "$logs/${names[i]}.log"
        if [ "${names[i]}" = demo ]; then sed -n '/Result/,$p' "$logs/demo.log"; fi
    fi
}

# Seconds still to go: what is left of the running stages and all of the waiting ones, on `cores` cores.
remaining() {
    local i left=0 d longest=0
    for i in "${!names[@]}"; do
        case ${states[i]} in
        running) d=$((expected[i] - (SECONDS - begun[i]))) ;;
        waiting) d=${expected[i]} ;;
        *) d=0 ;;
        esac
        ((d > 0)) || continue
        ((left += d * weights[i]))
        ((d <= longest)) || longest=$d
    done
    ((left /= cores))
    echo $((left > longest ? left : longest))
}

report() {
    local i line
    line="  $(clock $SECONDS), about $(clock "$(remaining)") to go; running:"
    for i in "${!names[@]}"; do
        [ "${states[i]}" != running ] || line+=" ${names[i]} ($(clock $((SECONDS - begun[i]))) of $(clock "${expected[i]}"))"
    done
    if [ -t 1 ]; then printf '\r\033[K%s' "$line"; else echo "$line"; fi
}

stop_all() {
    local i
    for i in "${!names[@]}"; do
        [ "${states[i]}" != running ] || pkill -TERM -P "${pids[i]}" 2>/dev/null
    done
    exit 130
}
trap stop_all INT TERM HUP

for what in build lab rootless; do
    "${ESPALIER_NEED:-tests/need.sh}" $what || {
        echo "check: nothing was started (above: what is missing here). \`make check-unit\` and \`make check-rtl\` need no rights." >&2
        exit 3
    }
done
echo "check: ${#names[@]} stages on $cores cores, about $(clock "$(remaining)"); outputs in $logs"
SECONDS=0
shown=0
while :; do
    start_stages
    busy=
    for i in "${!names[@]}"; do
        if [ "${states[i]}" = running ]; then
            if [ -e "$logs/.${names[i]}.rc" ]; then
                [ ! -t 1 ] || printf '\r\033[K'
                finish "$i"
            else
                busy=1
            fi
        fi
    done
    if [ -z "$busy" ]; then
        case " ${states[*]} " in *" waiting "*) continue ;; esac
        break
    fi
    if ((SECONDS - shown >= ${ESPALIER_TICK:-15})) || [ -t 1 ]; then
        shown=$SECONDS
        report
    fi
    sleep 1
done

passed=0 failed=0 skipped=0
echo
for i in "${!names[@]}"; do
    printf '  %-8s %-12s %s\n' "${states[i]/blocked/not run}" "${names[i]}" "$(clock "${took[i]}")"
    case ${states[i]} in ok) ((passed++)) ;; skipped) ((skipped++)) ;; *) ((failed++)) ;; esac
done
echo "$passed passed, $failed failed, $skipped lacked a right; $(clock $SECONDS) in all, $(clock $cpu_all) computed"
((failed == 0)) || exit 1
((skipped == 0)) || exit 3
