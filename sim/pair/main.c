// SPDX-License-Identifier: Apache-2.0
// espalier-pair: espalier-sim's command `pair` without the simulation of the RTL, which takes minutes and
// Verilator to build.
#include "sim/pair/pair.h"

int main(int argc, char **argv)
{
    return pair_main(argc, argv);
}
