// SPDX-License-Identifier: Apache-2.0
// `espalierd --check`: every fault of a swanctl.conf or a settings file, with what it includes, and nothing
// else happens.
#ifndef CTRL_CONFIG_CHECK_H
#define CTRL_CONFIG_CHECK_H

#include "ctrl/config/options.h"

// Prints on standard output; a file is a swanctl.conf, settings or both by its sections. 0, -EINVAL: there
// are faults, or -ENOMEM.
int config_check(const struct options *o);

#endif
