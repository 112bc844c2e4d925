// SPDX-License-Identifier: Apache-2.0
// espalier-sim pair: two gateways in network namespaces of their own, a tunnel between them, traffic through
// it, and a verdict. One command that CI can run, with root or in a user namespace.
#ifndef SIM_PAIR_PAIR_H
#define SIM_PAIR_PAIR_H

// argv[0] is how the command is called. Returns the exit status: 0 traffic passed, 1 it did not, 2 usage,
// 3 a right, a device or a program is missing.
int pair_main(int argc, char **argv);

#endif
