// SPDX-License-Identifier: Apache-2.0
// The version that people see.
#ifndef CTRL_CONFIG_VERSION_H
#define CTRL_CONFIG_VERSION_H

#include "espalier/version.h"

#endif
